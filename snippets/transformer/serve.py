# %% setup
import asyncio
import inspect
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import numpy as np
import torch

from llm_tutorial.data.documentation import documentation_questions
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, use_style
from llm_tutorial.transformer.serve import app
from llm_tutorial.transformer.serve.batching import Batcher as LibraryBatcher
from llm_tutorial.transformer.serve.engines import Embedder
from llm_tutorial.transformer.serve.load import arrivals, open_loop, wrong

use_style()
torch.set_num_threads(1)


def in_a_loop(coroutine):  # in a notebook, a loop is running already
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


# %% way
BLUE, ORANGE, GREEN = COLOURS[:3]
diagram = Diagram(width=26, height=24)
clients = diagram.box(4.2, 21.5, ["requests", "over HTTP"], 7)
guard = diagram.box(13.6, 21.5, ["limits", "size, type, length"], 8.4, colour=ORANGE)
refused = diagram.text(22.6, 21.5, ["refused:", "400, 413, 422"])
queue = diagram.box(13.6, 15.4, ["queue", "at most 64 texts"], 8.4, colour=ORANGE)
full = diagram.text(22.6, 15.4, ["full:", "429"])
batch = diagram.box(13.6, 9.3, ["batch", "what waits, at most 16"], 9.6, colour=BLUE)
model = diagram.box(13.6, 3.2, ["model", "one thread"], 8.4, colour=GREEN)
answers = diagram.box(4.2, 3.2, ["answers", "each to its own"], 7)
late = diagram.text(22.6, 3.2, ["not done in 30 s:", "504"])
for start, end in (
    (clients, guard),
    (guard, refused),
    (guard, queue),
    (queue, full),
    (queue, batch),
    (batch, model),
    (model, answers),
):
    diagram.arrow(start, end)


# %% one_server
def one_server(times, seconds):  # first come, first served
    free, ends = 0.0, []
    for arrived, needed in zip(times, seconds, strict=True):
        free = max(free, arrived) + needed
        ends.append(free)
    return np.array(ends)


# %% littles_law
times = arrivals(rate=0.8, count=2000)  # a request takes 1 on average
ends = one_server(times, np.random.default_rng(1).exponential(1, 2000))
moments = np.concatenate([times, ends])
change = np.concatenate([np.ones(2000), -np.ones(2000)])
order = moments.argsort()
inside = change[order].cumsum()[:-1]  # requests in the system after each event
period = moments.max() - moments.min()
mean_inside = (inside * np.diff(moments[order])).sum() / period
rate, mean_time = 2000 / period, (ends - times).mean()
print(f"N = {mean_inside:.4f}, λ W = {rate * mean_time:.4f}")
assert np.isclose(mean_inside, rate * mean_time)


# %% waiting
def mean_wait(load, draw, count=400_000):  # in the queue; a request takes 1
    times = arrivals(load, count, seed=2)
    needed = draw(np.random.default_rng(3), count)
    return (one_server(times, needed) - times - needed).mean()


KINDS = {  # how long a request takes: E[S] = 1, and E[S²]
    "always the same": (lambda generator, count: np.ones(count), 1),
    "exponential": (lambda generator, count: generator.exponential(1, count), 2),
}
for name, (draw, square) in KINDS.items():
    for load in (0.5, 0.8):
        measured, formula = mean_wait(load, draw), load * square / (2 * (1 - load))
        print(f"{name:16} ρ = {load}: simulated {measured:.2f}, formula {formula:.2f}")
        assert abs(measured / formula - 1) < 0.05


# %% batcher
class Batcher:
    def __init__(self, run, max_batch=16, max_wait=0.0, max_queue=64):
        self.run, self.max_batch, self.max_wait = run, max_batch, max_wait
        self.queue = asyncio.Queue(max_queue)
        self.thread = ThreadPoolExecutor(1)  # the model's: the loop stays free
        self.worker = asyncio.create_task(self.work())

    async def submit(self, item):
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((item, answer))  # QueueFull: refuse, never wait here
        return await answer

    async def gather(self):
        batch = [await self.queue.get()]  # sleeps until somebody comes
        try:
            async with asyncio.timeout(self.max_wait):
                while len(batch) < self.max_batch:
                    if self.queue.empty():
                        batch.append(await self.queue.get())
                    else:
                        batch.append(self.queue.get_nowait())
        except TimeoutError:
            pass  # nobody else: go
        return batch

    async def work(self):
        loop = asyncio.get_running_loop()
        while True:
            batch = [pair for pair in await self.gather() if not pair[1].done()]
            if not batch:  # given up, all of them
                continue
            items = [item for item, _ in batch]
            try:
                found = await loop.run_in_executor(self.thread, self.run, items)
            except Exception as error:  # the worker must go on
                found = [error] * len(batch)
            for (_, answer), result in zip(batch, found, strict=True):
                if answer.done():  # given up meanwhile
                    continue
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)


# %% batches_form
embed = Embedder()
texts = [question.question for question in documentation_questions("train")][:40]
alone = [embed([text])[0] for text in texts]


async def ask(batcher_class):
    sizes = []

    def run(items):
        sizes.append(len(items))
        return embed(items)

    batcher = batcher_class(run)

    async def one(place, text):  # two come every millisecond
        await asyncio.sleep(0.0005 * place)
        found = await batcher.submit(text if batcher_class is Batcher else [text])
        return found if batcher_class is Batcher else found[0]

    return await asyncio.gather(*map(one, range(40), texts)), sizes


for batcher_class in (Batcher, LibraryBatcher):
    found, sizes = in_a_loop(ask(batcher_class))
    assert np.abs(np.array(found) - alone).max() < 1e-5  # each its own
    assert sum(sizes) == 40 and max(sizes) <= 16 and len(sizes) < 20

# %% endpoint
print(inspect.getsource(app.embed))

# %% start
stack = ExitStack()
settings = app.Settings(max_body=100_000)
url = stack.enter_context(app.serving(app.create_app(settings)))
client = httpx2.Client(base_url=url, timeout=60)
print(client.get("/health").json())

# %% ask
answer = client.post("/embed", json={"texts": ["open a file", "read a file", "a cat"]})
vectors = np.array(answer.json()["embeddings"])
print(answer.status_code, vectors.shape, answer.json()["tokens"], "tokens")
print((vectors @ vectors.T).round(2))

# %% refusals
WRONG = {
    "malformed": {
        "content": b'{"texts": [',
        "headers": {"content-type": "application/json"},
    },
    "empty": {"json": {"texts": []}},
    "too long": {"json": {"texts": ["fine", "word " * 300]}},
    "10 MB": {"json": {"texts": ["x" * 10_000_000]}},
}
for name, request in WRONG.items():
    answer = client.post("/embed", **request)
    error = answer.json()["error"]
    print(f"{name}: {answer.status_code} {error['code']}")
    print(f"  {error['en']}\n  {error['zh']}")
    assert 400 <= answer.status_code < 500

# %% stream differs="greedy text of a language model near a tie"
question = {"prompt": "What is the capital of France?", "max_new_tokens": 12}
with client.stream("POST", "/generate", json=question) as answer:
    for line in answer.iter_lines():
        print(line) if line else None

# %% metrics
SHOWN = ("requests_total", "queue_length", "batch_size_sum", "batch_size_count")
for line in client.get("/metrics").text.splitlines():
    if line.startswith(SHOWN):
        print(line)

# %% drive
asked = (texts * 2)[:60]
times = arrivals(rate=20, count=60)  # seconds; nobody waits for an answer
answers = in_a_loop(open_loop(url, asked, times))
print(Counter(answer.status for answer in answers))
assert wrong(answers, asked, dict(zip(texts, alone, strict=True))) == 0
client.close()
stack.close()
