"""The service under an open loop, batches off and on, and the constants of its model.

Needs Linux and two cores on which nothing else runs: one for the service, one for us.
"""

# %% settings
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import torch

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.serve.engines import Embedder
from llm_tutorial.transformer.serve.load import (
    arrivals,
    closed_loop,
    in_system,
    open_loop,
    throughput,
    wrong,
)

long_run = LongRun("serve_load", Path(__file__), probed_steps=1)
summaries = [each.summary for each in documented_objects("train")]
long_run.data = {"summaries": data_digest(summaries)}
LOADS = (0.5, 0.9, 1, 2)  # times the capacity of a service without batches
BEYOND = (0.9, 2)  # times the capacity of one with batches
REQUESTS, SECONDS = 1000, 15  # of a load, at most; its first tenth is left out
CLIENTS, QUEUE = 32, 32
BATCHES = (1, 2, 4, 8, 16)
SERVER = """
import os, sys
os.sched_setaffinity(0, {0})
import torch
torch.set_num_threads(1)
from llm_tutorial.transformer.serve.app import Settings, create_app, serving
from llm_tutorial.transformer.serve.engines import Embedder

class NoModel(Embedder):
    def compute(self, ids):
        return [[0.0123456789] * 384] * len(ids)

kind = NoModel if sys.argv[2] == "no model" else Embedder
settings = Settings(max_batch=int(sys.argv[1]), max_queue=int(sys.argv[3]))
with serving(create_app(settings, kind, writer=None)) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


# %% service
@contextmanager
def service(max_batch, kind="model"):  # a process of its own, on a core of its own
    os.sched_setaffinity(0, {1})
    arguments = [str(max_batch), kind, str(QUEUE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen([sys.executable, "-c", SERVER, *arguments], **pipes)
    try:
        url = server.stdout.readline().decode().strip()
        asyncio.run(closed_loop(url, some(40, 9), 8))  # warm
        yield url, server.pid
    finally:
        server.communicate()


right = {}  # the embedding of each text, from a direct call


def some(count, seed):
    return [str(t) for t in np.random.default_rng(seed).choice(summaries, count)]


def prepare():
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {1})
    embed = Embedder()
    for start in range(0, len(summaries), 16):
        chosen = summaries[start : start + 16]
        right.update(zip(chosen, embed(chosen), strict=True))
    return embed


# %% watch
def processor_seconds(pid):  # of a process so far
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def others(seconds=0.3):  # share of the cores that is busy while we wait
    def so_far():
        fields = list(map(int, Path("/proc/stat").read_text().split()[1:9]))
        return sum(fields) - fields[3] - fields[4], sum(fields)

    busy, total = so_far()
    time.sleep(seconds)
    return (so_far()[0] - busy) / max(so_far()[1] - total, 1)


def counters(url):
    lines = httpx2.get(f"{url}/metrics").text.splitlines()
    names = ("batch_size_sum", "batch_size_count", "batches_failed_total")
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith(names))
    return {name: float(found.get(name, 0)) for name in names}


def percentiles(answers):
    if not answers:
        return None
    seconds = [answer.seconds for answer in answers]
    return [float(value) for value in np.percentile(seconds, [50, 90, 99])]


def watched(server, texts, loop, left_out=0):
    url, pid = server
    busy, before = others(), counters(url)
    theirs, mine = processor_seconds(pid), time.process_time()
    start = time.perf_counter()
    answers = asyncio.run(loop)
    elapsed = time.perf_counter() - start
    theirs, mine = processor_seconds(pid) - theirs, time.process_time() - mine
    batches = {name: value - before[name] for name, value in counters(url).items()}
    counted = answers[left_out:]
    good = [answer for answer in counted if answer.status == 200]
    return answers, {
        "statuses": dict(Counter(str(answer.status) for answer in answers)),
        "wrong": wrong(answers, texts, right),
        "failed_batches": batches["batches_failed_total"],
        "mean_batch": batches["batch_size_sum"] / max(batches["batch_size_count"], 1),
        "counted": len(counted),
        "refused": sum(answer.status == 429 for answer in counted),
        "answered_in": percentiles(good),
        "refused_in": percentiles([a for a in counted if a.status == 429]),
        "inside": in_system(answers),
        "late": float(np.percentile([answer.late for answer in counted], 99)),
        "busy_service": theirs / elapsed,
        "busy_client": mine / elapsed,
        "busy_others": busy,
    }


# %% measure
def alone_and_full(server, seed, requests=200):
    texts = some(requests // 2, 20 + seed)
    _, alone = watched(server, texts, closed_loop(server[0], texts, 1))
    texts = some(requests, 30 + seed)
    loop = closed_loop(server[0], texts, CLIENTS)
    answers, full = watched(server, texts, loop)
    return {"alone": alone, "full": full | {"capacity": throughput(answers)}}


def loaded(max_batch, rates, seed):
    found = {}
    if not right:
        prepare()
    with service(max_batch) as server:
        found["before"] = alone_and_full(server, seed)
        for load, rate in rates.items():
            count = min(REQUESTS, int(SECONDS * rate))
            texts = some(count, 10 + seed)
            loop = open_loop(server[0], texts, arrivals(rate, count, seed))
            found[load] = watched(server, texts, loop, count // 10)[1]
            found[load] |= {"rate": rate, "count": count}
        found["after"] = alone_and_full(server, seed)
    return found


def seconds_of_batches(embed, rounds=20):  # mean seconds of a call, by texts in it
    ids = embed.encode(summaries)
    middle = sorted(ids, key=len)[len(ids) // 2]
    generator, found = np.random.default_rng(0), {}
    for kind in ("as they come", "equal length"):
        spent = {size: [] for size in BATCHES}
        for _ in range(rounds):
            for size in BATCHES:
                places = generator.choice(len(ids), size)
                rows = [
                    ids[place] if kind == "as they come" else middle for place in places
                ]
                start = time.perf_counter()
                embed.compute(rows)
                spent[size].append(time.perf_counter() - start)
        found[kind] = {str(size): float(np.mean(each)) for size, each in spent.items()}
    return found


def constants():
    found = {"seconds_of_batches": seconds_of_batches(prepare())}
    with service(16, "no model") as server:  # what HTTP and the client can do
        texts = some(600, 8)
        before, start = processor_seconds(server[1]), time.perf_counter()
        answers = asyncio.run(closed_loop(server[0], texts, CLIENTS))
        spent = processor_seconds(server[1]) - before
        found["no_model"] = {
            "capacity": throughput(answers),
            "service_seconds": spent / len(texts),
            "busy_service": spent / (time.perf_counter() - start),
        }
    for max_batch in (1, 16):
        with service(max_batch) as server:
            found[f"batches of {max_batch}"] = alone_and_full(server, 7, 300)
    return found


# %% all
def part(name, function):
    start = time.perf_counter()
    result = long_run.measure(name, function, timed=True)
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return result


known = part("constants", constants)
single, batched = (known[f"batches of {b}"]["full"]["capacity"] for b in (1, 16))
same = {str(load): load * single for load in LOADS}
beyond = {str(load): load * batched for load in BEYOND}
for seed in range(3):
    arms = [("one at a time", 1, same), ("batches", 16, same)]
    for arm, max_batch, rates in arms if seed % 2 == 0 else arms[::-1]:
        part(
            f"{arm}, seed {seed}",
            lambda b=max_batch, r=rates, s=seed: loaded(b, r, s),
        )
    part(
        f"batches beyond, seed {seed}",
        lambda s=seed: loaded(16, beyond, s),
    )
long_run.finish(steps=0, seeds=[0, 1, 2], tolerance=0.5)
