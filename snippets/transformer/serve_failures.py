# %% setup
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import numpy as np
from fastapi import FastAPI

from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.serve.app import Settings, create_app, serving
from llm_tutorial.transformer.serve.engines import Pieces
from llm_tutorial.transformer.serve.load import open_loop

stack = ExitStack()


def in_a_loop(coroutine):  # in a notebook, a loop is running already
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


# %% blocked
def compute():  # stands for a model of 0.3 s
    time.sleep(0.3)
    return {"done": True}


app = FastAPI()


@app.get("/blocking")
async def blocking():
    return compute()  # in the loop: nobody else is served


@app.get("/threaded")
async def threaded():
    return await asyncio.get_running_loop().run_in_executor(None, compute)


@app.get("/health")
async def health():
    return {"status": "ok"}


url = stack.enter_context(serving(app))


async def while_computing(path):
    async with httpx2.AsyncClient(base_url=url) as client:
        await client.get("/health")
        work = asyncio.create_task(client.get(path))
        await asyncio.sleep(0.05)
        begun = time.perf_counter()
        await client.get("/health")
        waited = time.perf_counter() - begun
        await work
    return waited


slow, quick = (in_a_loop(while_computing(path)) for path in ("/blocking", "/threaded"))
print("health waits for the model:", slow > 0.15, "| with a thread:", quick > 0.15)
assert slow > 0.15 > quick


# %% no_limit
class Slow:  # an embedder of 10 ms, one text at a time: 100 a second
    longest = 256

    def count(self, text):
        return 3

    def __call__(self, texts):
        time.sleep(0.01 * len(texts))
        return [[float(text)] for text in texts]


def overloaded(max_queue):  # for two seconds, 200 requests a second
    settings = Settings(max_batch=1, max_queue=max_queue)
    with serving(create_app(settings, Slow, None)) as url:
        texts = [str(number) for number in range(400)]
        return in_a_loop(open_loop(url, texts, np.arange(400) / 200))


for name, max_queue in (("no limit", 10_000), ("at most 20", 20)):
    answers = overloaded(max_queue)
    good = [answer for answer in answers if answer.status == 200]
    first, last = (
        np.median([a.seconds for a in part]) for part in (good[:20], good[-20:])
    )
    print(
        f"{name}: answered {len(good) / len(answers):.0%}, "
        f"the last wait {last / first:.0f} times as long as the first"
    )

# %% half_characters
tokenizer = load_tokenizer()
ids = tokenizer("北京 🙂").input_ids
naive = [tokenizer.decode([token]) for token in ids]
pieces = Pieces(tokenizer)
held = [pieces.add(token) for token in ids]
print("each token alone:", naive)
print("held back:       ", held)
assert "".join(held) + pieces.rest() == "北京 🙂" != "".join(naive)
stack.close()
