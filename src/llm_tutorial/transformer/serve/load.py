"""Load as strangers make it: requests come when they come, whether or not the former ones were answered.

An *open loop*: arrivals are a Poisson process, and a latency counts from the moment at which the request should have
been sent, so that a slow service cannot slow its own load down.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httpx2
import numpy as np
from numpy.typing import NDArray


class Answer(NamedTuple):
    """What became of one request.

    Attributes:
        status: Of HTTP; 0 where the connection failed or nothing came in time.
        begun: Seconds from the start of the load at which it should have been sent.
        ended: Seconds from the start of the load at which its answer was there.
        embedding: Of its text; empty where there is none.
        late: Seconds after ``begun`` at which it was really sent, because the client itself was busy.
    """

    status: int
    begun: float
    ended: float
    embedding: list[float]
    late: float = 0.0

    @property
    def seconds(self) -> float:
        """From the moment at which it should have been sent to its answer: a late client does not hide a wait."""
        return self.ended - self.begun


def arrivals(rate: float, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Times of a Poisson process: the pauses between requests are independent and exponential.

    Args:
        rate: Requests a second, on average.
        count: Requests.
        seed: Of the generator.

    Example:
        >>> times = arrivals(rate=100, count=10_000)
        >>> bool(95 < len(times) / times[-1] < 105)
        True
    """
    return np.random.default_rng(seed).exponential(1 / rate, count).cumsum()


async def open_loop(url: str, texts: Sequence[str], times: Sequence[float] | NDArray[np.float64]) -> list[Answer]:
    """Sends each text at its time, and waits for all answers.

    Args:
        url: Of the service.
        texts: One for each request.
        times: Seconds from now, rising.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        start = time.perf_counter() + 0.05

        async def one(text: str, begun: float) -> Answer:
            await asyncio.sleep(max(0.0, start + begun - time.perf_counter()))
            return await _ask(client, text, begun, start)

        return list(await asyncio.gather(*(one(*each) for each in zip(texts, map(float, times), strict=True))))


async def closed_loop(url: str, texts: Sequence[str], clients: int) -> list[Answer]:
    """As many clients as told, each of which sends its next text when the former one is answered.

    With one client: how long a request takes alone. With many: how many requests a second there can be.

    Args:
        url: Of the service.
        texts: One for each request.
        clients: How many ask side by side.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=httpx2.Limits(max_connections=None)) as client:
        start, found, places = time.perf_counter(), dict[int, Answer](), iter(range(len(texts)))

        async def one() -> None:
            for place in places:
                found[place] = await _ask(client, texts[place], time.perf_counter() - start, start)

        await asyncio.gather(*(one() for _ in range(clients)))
        return [found[place] for place in range(len(texts))]


async def _ask(client: httpx2.AsyncClient, text: str, begun: float, start: float) -> Answer:
    status, embedding, late = 0, list[float](), time.perf_counter() - start - begun
    try:
        response = await client.post("/embed", json={"texts": [text]})
        status = response.status_code
        if status == 200:
            embedding = response.json()["embeddings"][0]
    except httpx2.HTTPError:
        status = 0
    return Answer(status, begun, time.perf_counter() - start, embedding, late)


def throughput(answers: Sequence[Answer]) -> float:
    """Answers with status 200 a second, from the first request to the last answer.

    Example:
        >>> throughput([Answer(200, 0.0, 1.0, []), Answer(200, 0.5, 2.0, []), Answer(429, 0.5, 0.6, [])])
        1.0
    """
    right = [answer for answer in answers if answer.status == 200]
    return len(right) / (max(answer.ended for answer in right) - min(answer.begun for answer in right))


def in_system(answers: Sequence[Answer]) -> float:
    """Requests under way, on average over the time from the first arrival to the last answer.

    Example:
        >>> in_system([Answer(200, 0.0, 1.0, []), Answer(200, 0.0, 2.0, [])])
        1.5
    """
    events = sorted([(a.begun, 1) for a in answers] + [(a.ended, -1) for a in answers])
    area, inside, before = 0.0, 0, events[0][0]
    for moment, change in events:
        area += inside * (moment - before)
        inside, before = inside + change, moment
    return area / (events[-1][0] - events[0][0])


def wrong(
    answers: Sequence[Answer], texts: Sequence[str], right: dict[str, list[float]], tolerance: float = 1e-4
) -> int:
    """Answers that are not that of their text: swapped, or no numbers.

    Args:
        answers: Of a load.
        texts: What was asked, in the same order.
        right: The embedding of each text, from a direct call.
        tolerance: Largest difference of a number.

    Example:
        >>> wrong([Answer(200, 0, 1, [1.0, 0.0])], ["a"], {"a": [0.0, 1.0]})
        1
    """
    return sum(
        not np.abs(np.array(answer.embedding) - right[text]).max() <= tolerance
        for answer, text in zip(answers, texts, strict=True)
        if answer.status == 200
    )


def simulated(
    times: Sequence[float] | NDArray[np.float64],
    cost: Callable[[list[int]], float],
    max_batch: int = 1,
    max_queue: float = np.inf,
) -> NDArray[np.float64]:
    """When a server that takes what waits would answer each request; NaN where it refuses.

    Args:
        times: Arrivals, rising.
        cost: Seconds that a batch takes, given the places of its requests among the arrivals.
        max_batch: Most requests of a batch.
        max_queue: Most requests that wait.

    Example:
        >>> simulated([0, 1, 2, 2.5], lambda batch: 2 + len(batch))
        array([ 3.,  6.,  9., 12.])
        >>> simulated([0, 1, 2, 2.5], lambda batch: 2 + len(batch), max_batch=16, max_queue=2)
        array([ 3.,  7.,  7., nan])
    """
    ends, waiting, free, place = np.full(len(times), np.nan), list[int](), 0.0, 0
    while place < len(times) or waiting:
        if not waiting:  # idle until the next one comes
            free = max(free, times[place])
        while place < len(times) and times[place] <= free:
            if len(waiting) < max_queue:
                waiting.append(place)
            place += 1
        batch, waiting = waiting[:max_batch], waiting[max_batch:]
        free += cost(batch)
        ends[batch] = free
    return ends
