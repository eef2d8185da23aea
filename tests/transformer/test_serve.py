"""The service: every answer is its own, every refusal says why, nothing is lost."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx2
import numpy as np
import pytest
import torch

from llm_tutorial.models import load_model
from llm_tutorial.transformer.serve.app import Settings, create_app, serving
from llm_tutorial.transformer.serve.batching import Batcher, BusyError
from llm_tutorial.transformer.serve.engines import Embedder, Pieces, Writer, greedy
from llm_tutorial.transformer.serve.load import (
    Answer,
    arrivals,
    closed_loop,
    in_system,
    open_loop,
    simulated,
    throughput,
    wrong,
)
from llm_tutorial.transformer.serve.metrics import Metrics

ROOT = Path(__file__).parents[2]
CHINESE = re.compile("[\u4e00-\u9fff]")


class Stub:
    """An embedder that answers with the number in its text, and takes the time it is told."""

    longest = 8

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches = seconds, list[int]()

    def encode(self, texts):  # words stand for ids
        return [["[CLS]", *text.split(), "[SEP]"] for text in texts]

    def compute(self, ids):
        return self([" ".join(row[1:-1]) for row in ids])

    def __call__(self, texts):
        self.batches.append(len(texts))
        time.sleep(self.seconds)
        if "poison" in texts:
            raise ValueError("poison")
        return [[float(text.split()[-1]), 0.0] for text in texts]


class Scribe:
    """A writer of numbers, 20 ms each; it stops, or fails, after so many."""

    longest = 300

    def __init__(self, seconds: float = 0.02, stops: int = 1000, fails: int = 1000) -> None:
        self.seconds, self.stops, self.fails = seconds, stops, fails

    def encode(self, prompt):
        return [0] * len(prompt.split())

    def tokens(self, ids, max_new_tokens):
        for number in range(min(max_new_tokens, self.stops)):
            time.sleep(self.seconds)
            if number == self.fails:
                raise ValueError("broken")
            yield number + 100 * len(ids)

    def pieces(self):
        class Same:
            def add(self, token):
                return f" {token}"

            def rest(self):
                return ""

        return Same()


@pytest.fixture
def serve():
    """Starts a service of stubs, and gives a client of it."""
    opened = []

    def start(embedder=None, writer=None, **settings):
        app = create_app(Settings(**settings), lambda: embedder or Stub(), lambda: writer or Scribe())
        context = serving(app)
        client = httpx2.Client(base_url=context.__enter__(), timeout=30)
        opened.append((client, context))
        return client

    yield start
    for client, context in opened:
        client.close()
        context.__exit__(None, None, None)


def refused(response, status, code):
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert CHINESE.search(error["zh"])
    assert not CHINESE.search(error["en"])
    return error


def until(true, seconds=20):
    """Waits until something holds: the machine may be busy."""
    end = time.perf_counter() + seconds
    while not true():
        assert time.perf_counter() < end
        time.sleep(0.01)


def counted(client, line):
    (found,) = re.findall(rf"^{re.escape(line)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found)


# --- batches


def test_what_waits_becomes_one_batch_and_every_result_is_its_own():
    stub = Stub(0.02)

    async def ask():
        batcher = Batcher(stub, max_batch=8)
        found = await asyncio.gather(*(batcher.submit([str(number)]) for number in range(21)))
        await batcher.close()
        return found

    assert asyncio.run(ask()) == [[[float(number), 0.0]] for number in range(21)]
    assert sum(stub.batches) == 21
    assert max(stub.batches) == 8
    assert len(stub.batches) <= 5


def test_waiting_gathers_what_comes_a_little_later():
    def sizes(max_wait):
        stub = Stub()

        async def ask():
            batcher = Batcher(stub, max_batch=4, max_wait=max_wait)

            async def later(number):
                await asyncio.sleep(0.02 * number)
                return await batcher.submit([str(number)])

            await asyncio.gather(*(later(number) for number in range(4)))
            await batcher.close()

        asyncio.run(ask())
        return stub.batches

    assert sizes(0.0)[0] == 1
    assert sizes(10.0) == [4]


def test_one_bad_item_fails_alone():
    async def ask():
        batcher = Batcher(Stub(0.01))
        found = await asyncio.gather(*(batcher.submit([text]) for text in ("1", "poison", "3")), return_exceptions=True)
        await batcher.close()
        return found

    one, bad, three = asyncio.run(ask())
    assert (one, three) == ([[1.0, 0.0]], [[3.0, 0.0]])
    assert isinstance(bad, ValueError)


def test_a_full_queue_takes_all_items_or_none():
    stub = Stub(0.05)

    async def ask():
        batcher = Batcher(stub, max_batch=1, max_queue=3)
        first = asyncio.create_task(batcher.submit(["1"]))
        await asyncio.sleep(0.02)  # in the model now; the queue is empty
        rest = asyncio.create_task(batcher.submit(["2", "3"]))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.submit(["4", "5"])
        await asyncio.gather(first, rest)
        await batcher.close()
        with pytest.raises(BusyError):
            await batcher.submit(["6"])

    asyncio.run(ask())
    assert stub.batches == [1, 1, 1]


def test_who_gives_up_is_not_computed_and_the_others_are():
    stub = Stub(0.05)

    async def ask():
        batcher = Batcher(stub, max_batch=1)
        first = asyncio.create_task(batcher.submit(["1"]))
        await asyncio.sleep(0.02)
        impatient = asyncio.create_task(batcher.submit(["2"]))
        last = asyncio.create_task(batcher.submit(["3"]))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(first, last) == [[[1.0, 0.0]], [[3.0, 0.0]]]
        await batcher.close()

    asyncio.run(ask())
    assert stub.batches == [1, 1]


def test_closing_answers_everything_taken_in():
    async def ask():
        batcher = Batcher(Stub(0.02), max_batch=2)
        asked = [asyncio.create_task(batcher.submit([str(number)])) for number in range(7)]
        await asyncio.sleep(0.01)
        await batcher.close()
        return [task.result() for task in asked if task.done()] + [await task for task in asked if not task.done()]

    assert sorted(asyncio.run(ask())) == [[[float(number), 0.0]] for number in range(7)]


def test_a_worker_survives_errors_and_clients_that_leave():
    """The package's queue, and that of the page."""
    source = (ROOT / "snippets/transformer/serve.py").read_text(encoding="utf-8")
    names = {"asyncio": asyncio, "ThreadPoolExecutor": ThreadPoolExecutor}
    exec(re.search(r"# %% batcher\n(.+?)\n# %%", source, re.DOTALL)[1], names)

    async def ask(make, one):
        started, go = threading.Event(), threading.Event()

        def run(items):
            started.set()
            go.wait(10)
            if "poison" in items:
                raise ValueError("poison")
            return items

        batcher = make(run)
        first = asyncio.create_task(batcher.submit(one("poison")))
        await asyncio.to_thread(started.wait, 10)
        impatient = asyncio.create_task(batcher.submit(one("2")))
        await asyncio.sleep(0)
        impatient.cancel()
        go.set()
        with pytest.raises(ValueError, match="poison"):
            await first
        return await asyncio.wait_for(batcher.submit(one("3")), 10)

    assert asyncio.run(ask(Batcher, lambda item: [item])) == ["3"]
    assert asyncio.run(ask(names["Batcher"], lambda item: item)) == "3"


# --- over HTTP


def test_healthy_and_answering(serve):
    client = serve()
    assert client.get("/health").json() == {"status": "ok"}
    answer = client.post("/embed", json={"texts": ["a 3", "a 4"]})
    assert answer.json() == {"embeddings": [[3.0, 0.0], [4.0, 0.0]], "tokens": 8}


def test_no_request_is_answered_for_another(serve):
    client = serve(Stub(0.002), max_queue=500)
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda n: client.post("/embed", json={"texts": [f"x {n}"]}).json(), range(200)))
    assert [answer["embeddings"][0][0] for answer in found] == list(range(200))
    assert counted(client, "batch_size_sum") == 200
    assert counted(client, "batch_size_count") < 200


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"content": b'{"texts": ["a', "headers": {"content-type": "application/json"}}, 400, "malformed"),
        ({"content": b"", "headers": {"content-type": "application/json"}}, 422, "invalid"),
        ({"json": {"texts": []}}, 422, "invalid"),
        ({"json": {"texts": [""]}}, 422, "invalid"),
        ({"json": {"texts": [7]}}, 422, "invalid"),
        ({"json": {"texts": "one"}}, 422, "invalid"),
        ({"json": {"text": ["a"]}}, 422, "invalid"),
        ({"json": [1, 2]}, 422, "invalid"),
        ({"content": b'{"texts": ["a 1"]}'}, 422, "invalid"),
        ({"json": {"texts": ["1"] * 33}}, 422, "too_many"),
        ({"json": {"texts": ["1", "seven words are more than fit in"]}}, 422, "too_long"),
        ({"json": {"texts": ["1", "x" * 10_001]}}, 422, "too_long"),
        ({"content": rb'{"texts": ["\ud800"]}', "headers": {"content-type": "application/json"}}, 422, "invalid"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 400, "malformed"),
    ],
)
def test_bad_input_is_refused_in_both_languages(serve, sent, status, code):
    refused(serve().post("/embed", **sent), status, code)


def test_a_text_that_is_too_long_is_named_with_both_numbers(serve):
    error = refused(serve().post("/embed", json={"texts": ["1", "a b c d e f g"]}), 422, "too_long")
    for text in error.values():
        assert text == "too_long" or all(number in text for number in ("2", "9", "8"))


def test_ten_megabytes_are_refused_unread_and_the_service_goes_on(serve):
    client = serve()
    refused(client.post("/embed", json={"texts": ["x" * 10_000_000]}), 413, "too_large")
    pieces = (b"x" * 100_000 for _ in range(100))  # chunked: no length is announced
    headers = {"content-type": "application/json"}
    refused(client.post("/embed", content=pieces, headers=headers), 413, "too_large")
    assert client.post("/embed", json={"texts": ["1"]}).status_code == 200


def test_unknown_addresses_and_methods_say_so(serve):
    client = serve()
    refused(client.get("/nowhere"), 404, "not_found")
    refused(client.get("/embed"), 405, "method")


def test_a_model_that_fails_says_so_and_is_counted(serve):
    client = serve()
    refused(client.post("/embed", json={"texts": ["poison"]}), 500, "failed")
    assert client.post("/embed", json={"texts": ["1"]}).status_code == 200
    assert counted(client, 'requests_total{path="/embed",status="500"}') == 1
    assert counted(client, "batches_failed_total") == 1


def test_more_texts_than_the_queue_holds_are_refused_for_good(serve):
    error = refused(serve(max_queue=3).post("/embed", json={"texts": ["1"] * 4}), 422, "too_many")
    assert "at most 3" in error["en"]


@pytest.mark.parametrize("path", ["/embed", "/generate"])
def test_the_loop_stays_free_while_a_text_is_tokenized(serve, path):
    healthy = threading.Event()

    class Slow(Stub, Scribe):
        def __init__(self):
            Stub.__init__(self)
            Scribe.__init__(self)

        def encode(self, texts):
            assert healthy.wait(20)
            return Stub.encode(self, texts) if path == "/embed" else [0]

    client = serve(Slow(), Slow())
    body = {"texts": ["1"]} if path == "/embed" else {"prompt": "a", "max_new_tokens": 1}
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.post, path, json=body)
        assert client.get("/health", timeout=10).status_code == 200
        healthy.set()
        assert asked.result().status_code == 200


def test_retry_after_is_what_the_waiting_batches_take():
    started, go, stub = threading.Event(), threading.Event(), Stub()

    def compute(ids):
        started.set()
        assert go.wait(20)
        return Stub.compute(stub, ids)

    stub.compute = compute
    app = create_app(Settings(max_batch=2, max_queue=5), lambda: stub, None)
    with ThreadPoolExecutor(6) as threads, serving(app) as url, httpx2.Client(base_url=url, timeout=30) as client:
        asked = [threads.submit(client.post, "/embed", json={"texts": ["1"]})]
        assert started.wait(20)
        asked += [threads.submit(client.post, "/embed", json={"texts": ["1"]}) for _ in range(5)]
        until(lambda: app.state.batcher.queue.qsize() == 5)
        app.state.batcher.seconds = 1.0  # of a batch; five texts are three of them
        busy = client.post("/embed", json={"texts": ["1"]})
        go.set()
        assert {each.result().status_code for each in asked} == {200}
    refused(busy, 429, "busy")
    assert busy.headers["retry-after"] == "3"


def test_a_full_service_says_when_to_come_again(serve):
    client = serve(Stub(0.3), max_batch=1, max_queue=2)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda n: client.post("/embed", json={"texts": [str(n)]}), range(6)))
    answered = [answer for answer in found if answer.status_code == 200]
    busy = [answer for answer in found if answer.status_code == 429]
    assert len(answered) + len(busy) == 6
    assert len(busy) >= 2
    for answer in busy:
        assert int(answer.headers["retry-after"]) >= 1
        refused(answer, 429, "busy")
    assert client.post("/embed", json={"texts": ["1"]}).status_code == 200


def test_what_takes_too_long_is_given_up(serve):
    client = serve(Stub(0.5), timeout=0.1)
    refused(client.post("/embed", json={"texts": ["1"]}), 504, "timeout")


def events(response):
    return [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]


def test_tokens_come_one_by_one_and_an_end(serve):
    client = serve()
    with client.stream("POST", "/generate", json={"prompt": "a b", "max_new_tokens": 5}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first = time.perf_counter()
        found = events(response)
    assert time.perf_counter() - first > 0.05  # not all at once
    end = {"done": True, "tokens": 5, "finish_reason": "length"}
    assert found == [{"text": f" {number}"} for number in range(200, 205)] + [end]


def test_an_answer_says_whether_it_was_cut(serve):
    client = serve(writer=Scribe(0, stops=3), max_new_tokens=5)
    with client.stream("POST", "/generate", json={"prompt": "a"}) as response:
        assert events(response)[-1] == {"done": True, "tokens": 3, "finish_reason": "stop"}
    with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": 2}) as response:
        assert events(response)[-1] == {"done": True, "tokens": 2, "finish_reason": "length"}
    refused(client.post("/generate", json={"prompt": "a", "max_new_tokens": 6}), 422, "too_many")


def test_a_stream_that_fails_ends_with_an_error_and_without_done(serve):
    client = serve(writer=Scribe(fails=2))
    with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": 5}) as response:
        *first, last = events(response)
    assert first == [{"text": " 100"}, {"text": " 101"}]
    assert last["error"]["code"] == "failed"
    assert CHINESE.search(last["error"]["zh"])


def test_two_streams_take_turns(serve):
    client, ends = serve(), {}

    def ask(name, count):
        with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": count}) as response:
            ends[name] = (len(events(response)), time.perf_counter())

    long = threading.Thread(target=ask, args=("long", 60))
    long.start()
    time.sleep(0.1)
    ask("short", 5)
    long.join()
    assert ends["short"][1] < ends["long"][1]
    assert (ends["short"][0], ends["long"][0]) == (6, 61)


def test_a_client_that_goes_away_frees_its_place(serve):
    client = serve(writer=Scribe(0.1), max_streams=1)
    with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": 200}) as response:
        lines = response.iter_lines()
        next(lines)
        refused(client.post("/generate", json={"prompt": "a"}), 429, "busy")
    until(lambda: "disconnects_total 1" in client.get("/metrics").text)
    assert counted(client, "disconnects_total") == 1
    assert counted(client, "streams_open") == 0
    assert counted(client, 'tokens_total{model="writer"}') < 150
    with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": 2}) as response:
        assert events(response)[-1] == {"done": True, "tokens": 2, "finish_reason": "length"}


def test_a_stream_that_takes_too_long_ends_with_the_reason(serve):
    client = serve(timeout=0.15)
    with client.stream("POST", "/generate", json={"prompt": "a", "max_new_tokens": 100}) as response:
        last = events(response)[-1]
    assert last["error"]["code"] == "timeout"


def test_a_prompt_beyond_the_context_is_refused_before_the_stream(serve):
    client = serve()
    refused(client.post("/generate", json={"prompt": "word " * 290, "max_new_tokens": 20}), 422, "too_long")
    refused(client.post("/generate", json={"prompt": "x" * 10_001, "max_new_tokens": 20}), 422, "too_long")
    assert counted(client, "streams_open") == 0
    refused(client.post("/generate", json={"prompt": ""}), 422, "invalid")
    refused(client.post("/generate", json={"prompt": "a", "max_new_tokens": 0}), 422, "invalid")


def test_stopping_answers_what_was_taken_in():
    app = create_app(Settings(max_batch=1), lambda: Stub(0.3), Scribe)
    with ThreadPoolExecutor(4) as threads:
        with serving(app) as url:
            client = httpx2.Client(base_url=url, timeout=30)
            asked = [threads.submit(client.post, "/embed", json={"texts": [str(n)]}) for n in range(4)]
            until(lambda: app.state.batcher.queue.qsize() == 3)  # all taken in, one in the model
        assert [each.result().json()["embeddings"][0][0] for each in asked] == [0, 1, 2, 3]
    with pytest.raises(httpx2.ConnectError):
        client.get("/health")
    client.close()


def test_metrics_are_what_prometheus_reads(serve):
    client = serve()
    client.post("/embed", json={"texts": ["1"]})
    client.post("/embed", json={})
    for line in client.get("/metrics").text.splitlines():
        assert re.fullmatch(r'# TYPE \w+ (counter|gauge|histogram)|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \S+', line)
    assert counted(client, 'requests_total{path="/embed",status="200"}') == 1
    assert counted(client, 'requests_total{path="/embed",status="422"}') == 1
    assert counted(client, 'request_seconds_count{path="/embed"}') == 2


def test_a_label_cannot_break_the_format():
    metrics = Metrics()
    metrics.count("requests_total", path='/a"\n\\')
    assert metrics.text().splitlines()[1] == 'requests_total{path="/a\\"\\n\\\\"} 1'


# --- load


def test_arrivals_are_a_poisson_process():
    pauses = np.diff(arrivals(50, 20_000, seed=3))
    assert abs(pauses.mean() * 50 - 1) < 0.03
    assert abs(pauses.std() * 50 - 1) < 0.05  # exponential: as wide as long
    assert abs(np.corrcoef(pauses[1:], pauses[:-1])[0, 1]) < 0.03


def test_an_open_loop_does_not_wait_and_finds_swapped_answers(serve):
    client = serve(Stub(0.05), max_queue=3, max_batch=1)
    texts = [str(number) for number in range(12)]
    answers = asyncio.run(open_loop(str(client.base_url), texts, np.arange(12) * 0.005))
    assert {answer.status for answer in answers} == {200, 429}
    right = {text: [float(text), 0.0] for text in texts}
    assert wrong(answers, texts, right) == 0
    good = [answer for answer in answers if answer.status == 200]
    swapped = [good[0]._replace(embedding=good[1].embedding), *good[1:]]
    kept = [text for text, answer in zip(texts, answers, strict=True) if answer.status == 200]
    assert wrong(swapped, kept, right) == 1
    assert wrong([good[0]._replace(embedding=[float("nan"), 0.0])], kept[:1], right) == 1
    closed = asyncio.run(closed_loop(str(client.base_url), texts, 2))
    assert [answer.status for answer in closed] == [200] * 12
    assert throughput(closed) < 25


def test_a_busy_client_counts_as_waiting(serve):
    """A latency that begins when the request was really sent would hide what the client itself kept back."""
    client = serve()
    times = np.arange(50) * 0.02

    async def blocked():
        await asyncio.sleep(0.3)
        time.sleep(0.4)  # the client's loop stands still

    async def both():
        return (await asyncio.gather(open_loop(str(client.base_url), ["1"] * 50, times), blocked()))[0]

    answers = asyncio.run(both())
    assert [answer.status for answer in answers] == [200] * 50
    assert max(answer.late for answer in answers) > 0.2
    assert all(answer.seconds >= answer.late for answer in answers)


def test_the_simulated_server_keeps_its_capacity_and_its_bound():
    times = arrivals(2, 4000, seed=1)
    ends = simulated(times, lambda batch: 0.7 + 0.3 * len(batch), max_queue=32)  # one a second
    assert np.isnan(ends).mean() == pytest.approx(0.5, abs=0.03)
    assert np.nanmax(ends - times) <= 34
    batches = simulated(times, lambda batch: 0.7 + 0.3 * len(batch), 16, 32)
    assert not np.isnan(batches).any()
    assert (batches - times).min() >= 1 - 1e-9
    assert np.nanmean(batches - times) < 8


def test_littles_law_on_a_known_case():
    answers = [Answer(200, 0.0, 2.0, []), Answer(200, 1.0, 2.0, []), Answer(429, 3.0, 4.0, [])]
    assert in_system(answers) == pytest.approx(4 / 4)  # 2 + 1 + 1 seconds inside, four seconds in all


# --- the real models


@pytest.fixture(scope="module")
def writer():
    return Writer()


def test_tokens_are_those_of_generate(writer):
    ids = writer.encode("What is the capital of France?")
    found = list(writer.tokens(ids, 16))
    config = {"max_new_tokens": 16, "do_sample": False, "pad_token_id": 2}
    theirs = writer.model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **config)
    theirs = [token for token in theirs[0, len(ids) :].tolist() if token != writer.tokenizer.eos_token_id]
    assert found == theirs
    assert "Paris" in writer.tokenizer.decode(found)


@pytest.mark.parametrize("text", ["plain words", "北京 is 囧", "a naïve 🙂 face", "   spaces  "])
def test_pieces_join_to_the_text_and_show_no_half_characters(writer, text):
    pieces = Pieces(writer.tokenizer)
    found = [pieces.add(token) for token in writer.tokenizer(text).input_ids]
    assert "".join(found) + pieces.rest() == text
    assert "\ufffd" not in "".join(found)


def test_an_unfinished_character_is_shown_at_the_end(writer):
    pieces = Pieces(writer.tokenizer)
    (first, *_) = writer.tokenizer("囧").input_ids
    assert pieces.add(first) == ""
    assert pieces.rest() == "\ufffd"


def test_16_bits_write_too():
    model = load_model(dtype=torch.bfloat16)
    assert len(list(greedy(model, [1, 4093, 198], 3, end=-1))) == 3


def test_an_embedding_does_not_depend_on_its_batch():
    embedder = Embedder()
    texts = ["How do I open a file?", "Sort a list", "What is a decorator good for, and who reads it?"]
    together = np.array(embedder(texts))
    alone = np.array([embedder([text])[0] for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    assert len(embedder.encode(["word " * 400])[0]) == 402


def test_the_model_pads_as_the_tokenizer_would_and_does_not_touch_it():
    """Two threads share the tokenizer's padding: the thread of the model must leave it alone."""
    embedder = Embedder()
    texts = ["a", "How do I open a file?"]
    batch = embedder.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = embedder.model(batch.input_ids, batch.attention_mask)
    ids = embedder.encode(texts)
    embedder.tokenizer = SimpleNamespace(pad_token_id=embedder.tokenizer.pad_token_id)
    assert torch.equal(torch.tensor(embedder.compute(ids)), expected)


def test_models_in_16_bits_come_by_keyword():
    assert Embedder(dtype=torch.bfloat16).model.model.dtype == torch.bfloat16
    assert len(Embedder(dtype=torch.bfloat16)(["a"])[0]) == 384


# --- the container file: what it does is done here, as far as it can be without a container

CONTAINER = ROOT / "snippets/transformer/serve.Containerfile"


def instructions():
    text = re.sub(r"\\\n", " ", CONTAINER.read_text(encoding="utf-8"))
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def complaints(lines):
    """Seven rules for container files; each names what it found."""
    found, user = [], "root"
    for word, rest in lines:
        if word == "FROM" and not re.search(r":[\w.-]*\d", rest):
            found.append(f"base image without a version: {rest}")
        if word == "ADD":
            found.append("ADD where COPY does")
        if word in ("CMD", "ENTRYPOINT") and not rest.startswith("["):
            found.append(f"{word} in shell form: signals do not reach the program")
        if word == "RUN" and "pip install" in rest:
            if "--no-cache-dir" not in rest:
                found.append("pip keeps its cache in the layer")
            if "-c constraints.txt" not in rest and "==" not in rest:
                found.append("versions are not pinned")
        if word == "USER":
            user = rest
    words = [word for word, _ in lines]
    if user == "root":
        found.append("runs as root")
    if "HEALTHCHECK" not in words:
        found.append("no HEALTHCHECK")
    copies = [index for index, (word, rest) in enumerate(lines) if word == "COPY" and " src " in f" {rest} "]
    installs = [index for index, (_, rest) in enumerate(lines) if "torch==" in rest]
    if copies and installs and copies[0] < installs[0]:
        found.append("a change of the code installs PyTorch again")
    return found


def test_the_container_file_is_clean_and_the_linter_sees_faults():
    assert complaints(instructions()) == []
    for old, new, fault in (
        ("python:3.11-slim", "python", "without a version"),
        ("USER service", "USER root", "runs as root"),
        ('CMD ["python", "-m", "llm', 'CMD python -m "llm', "shell form"),
        ("--no-cache-dir -c", "-c", "cache"),
        (" -c constraints.txt", "", "not pinned"),
        ("HEALTHCHECK", "LABEL", "no HEALTHCHECK"),
    ):
        text = CONTAINER.read_text(encoding="utf-8")
        assert old in text
        broken = re.sub(r"\\\n", " ", text.replace(old, new))
        lines = [line.split(maxsplit=1) for line in broken.splitlines() if line.strip() and not line.startswith("#")]
        assert any(fault in each for each in complaints(lines)), fault


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_the_container_file(language):
    page = (ROOT / f"docs/{language}/transformer/serve.md").read_text(encoding="utf-8")
    assert f"```dockerfile\n{CONTAINER.read_text(encoding='utf-8').rstrip()}\n```" in page


def test_what_the_container_file_copies_and_pins_is_there():
    for word, rest in instructions():
        if word == "COPY":
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            assert all((ROOT / source).exists() for source in sources)
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (version,) = {found for _, rest in instructions() for found in re.findall(r"torch==\S+", rest)}
    assert f"\n{version}\n" in pinned
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^serve = \[", project, re.MULTILINE)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_the_containers_steps_install_start_check_and_stop(tmp_path):
    """pip installs the package alone (its libraries are here), the command starts it, SIGTERM lets a stream end."""
    build = {word: rest for word, rest in instructions() if word in ("HEALTHCHECK", "CMD")}
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", tmp_path]
    subprocess.run([*pip, ROOT], check=True)
    port = str(20000 + os.getpid() % 20000)
    command = [part.replace("8000", port).replace("0.0.0.0", "127.0.0.1") for part in json.loads(build["CMD"])]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    fetch = next(shlex.split(rest) for word, rest in instructions() if word == "RUN" and "fetch" in rest)
    subprocess.run([sys.executable, *fetch[1:]], cwd=tmp_path, env=environment, check=True, capture_output=True)
    service = subprocess.Popen([sys.executable, *command[1:]], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        check = json.loads(build["HEALTHCHECK"].partition("CMD ")[2].replace("8000", port))
        for _ in range(600):
            if subprocess.run([sys.executable, *check[1:]], capture_output=True).returncode == 0:
                break
            assert service.poll() is None
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}"
        length = httpx2.post(f"{url}/embed", json={"texts": ["a"]}, timeout=60).json()["embeddings"][0]
        assert np.linalg.norm(length) == pytest.approx(1, abs=1e-5)
        ask = {"prompt": "Count to ten.", "max_new_tokens": 8}
        with httpx2.stream("POST", f"{url}/generate", json=ask, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            service.send_signal(signal.SIGTERM)
            rest = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        assert rest[-1]["done"]
        assert service.wait(timeout=60) in (0, -signal.SIGTERM)  # uvicorn passes the signal on when all is done
    finally:
        service.kill()
        service.communicate()
