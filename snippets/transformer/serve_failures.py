# %% setup
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
from fastapi import FastAPI
from tokenizers.decoders import DecodeStream

from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.serve.app import serving
from llm_tutorial.transformer.serve.batching import Batcher, BusyError
from llm_tutorial.transformer.serve.engines import Pieces


def in_a_loop(coroutine):  # in a notebook, a loop is running already
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


# %% blocked
done = threading.Event()


def compute():  # stands for a model: busy until it is told to end
    done.wait(10)
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


async def health_meanwhile(url, path):
    async with httpx2.AsyncClient(base_url=url, timeout=10) as client:
        await client.get("/health")
        done.clear()
        work = asyncio.create_task(client.get(path))
        await asyncio.sleep(0.2)  # now the model computes
        try:
            answer = await client.get("/health", timeout=2)
        except httpx2.TimeoutException as error:
            answer = error
        done.set()
        await work
    return answer


with serving(app) as url:
    blocked, free = (
        in_a_loop(health_meanwhile(url, path)) for path in ("/blocking", "/threaded")
    )
print("/health while /blocking computes:", type(blocked).__name__)
print("/health while /threaded computes:", free.json())
assert isinstance(blocked, httpx2.ReadTimeout) and free.status_code == 200


# %% no_limit
async def burst(max_queue, count=100):  # all at once; a text is one model call
    calls = []

    def run(batch):
        calls.extend(batch)
        return [len(calls)]

    batcher = Batcher(run, max_batch=1, max_queue=max_queue)
    tasks = [batcher.submit([number]) for number in range(count)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await batcher.close()
    return [each[0] for each in results if not isinstance(each, BusyError)]


for name, max_queue in (("no limit", 10_000), ("at most 20", 20)):
    waited = in_a_loop(burst(max_queue))
    print(f"{name}: {len(waited)} answered, the last after {max(waited)} model calls,")
    print(f"  {100 - len(waited)} refused")
    assert len(waited) == max(waited) == min(max_queue, 100)

# %% half_characters
tokenizer = load_tokenizer()
text = "北京 🦙"
ids = tokenizer(text).input_ids
naive = [tokenizer.decode([token]) for token in ids]
pieces = Pieces(tokenizer)
held = [pieces.add(token) for token in ids]
print("each token alone:", naive)
print("held back:       ", held)
stream = DecodeStream(skip_special_tokens=True)  # the library's
theirs = [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids]
assert held == theirs
assert "".join(held) + pieces.rest() == text != "".join(naive)
