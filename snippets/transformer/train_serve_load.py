"""The service at half, equal to and twice its capacity, batches on and off."""

# %% settings
import asyncio
import subprocess
import sys
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
LOADS = (0.5, 1, 2)
REQUESTS = 300
SERVER = """
import sys, torch
torch.set_num_threads(1)
from llm_tutorial.transformer.serve.app import Settings, create_app, serving
settings = Settings(max_batch=int(sys.argv[1]), max_queue=32)
with serving(create_app(settings, writer=None)) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def service(max_batch):  # a process of its own
    command = [sys.executable, "-c", SERVER, str(max_batch)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(command, **pipes, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


# %% measure
right = {}  # the embedding of each text, from a direct call


def some(count, seed):
    if not right:
        torch.set_num_threads(1)
        embed = Embedder()
        for start in range(0, len(summaries), 16):
            chosen = summaries[start : start + 16]
            right.update(zip(chosen, embed(chosen), strict=True))
    return [str(t) for t in np.random.default_rng(seed).choice(summaries, count)]


def measured(answers, texts):
    good = [answer for answer in answers if answer.status == 200]
    spans = [answer.ended - answer.begun for answer in answers]
    elapsed = max(answer.ended for answer in answers) - answers[0].begun
    return {
        "statuses": dict(Counter(str(answer.status) for answer in answers)),
        "wrong": wrong(answers, texts, right),
        "percentiles": [
            float(value)
            for value in np.percentile([a.seconds for a in good], [50, 90, 99])
        ],
        "goodput": throughput(answers),
        "little": [in_system(answers), len(answers) / elapsed * float(np.mean(spans))],
    }


def loaded(max_batch, seed):
    found = {}
    with service(max_batch) as url:
        asyncio.run(closed_loop(url, some(40, 9), 8))  # warm
        alone = asyncio.run(closed_loop(url, some(60, seed), 1))
        found["alone"] = float(np.median([answer.seconds for answer in alone]))
        for load in LOADS:
            full = asyncio.run(closed_loop(url, some(REQUESTS, seed), 24))
            capacity = throughput(full)
            texts = some(REQUESTS, 10 + seed)
            times = arrivals(load * capacity, REQUESTS, seed)
            answers = asyncio.run(open_loop(url, texts, times))
            found[str(load)] = measured(answers, texts) | {"capacity": capacity}
        for line in httpx2.get(f"{url}/metrics").text.splitlines():
            if line.startswith(("batch_size_sum", "batch_size_count")):
                found[line.split()[0]] = float(line.split()[1])
    return found


for seed in range(3):
    for max_batch in (1, 16):
        name = f"batches of {max_batch}, seed {seed}"
        print(
            long_run.measure(
                name, lambda b=max_batch, s=seed: loaded(b, s), timed=True
            ),
            flush=True,
        )
long_run.finish(steps=0, seeds=[0, 1, 2], tolerance=0.5)
