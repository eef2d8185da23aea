"""How fast one thing is beside another, as ratios: what slows the machine down slows both."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def ratio(slow: Callable[[], object], fast: Callable[[], object], seconds: float = 2.0, least: int = 5) -> float:
    """How many times as long ``slow`` takes: the median over neighbouring pairs of runs.

    Args:
        slow: What takes longer; called in turn with ``fast``, each once to warm up.
        fast: What it is compared with.
        seconds: Seconds to spend.
        least: Pairs to run, whatever time they take.

    Example:
        >>> ratio(lambda: time.sleep(0.02), lambda: time.sleep(0.005), seconds=0) > 2
        True
    """
    return ratios(slow, {"fast": fast}, seconds, least)["fast"]


def ratios(
    slow: Callable[[], object], fast: Mapping[str, Callable[[], object]], seconds: float = 2.0, least: int = 5
) -> dict[str, float]:
    """How many times as long ``slow`` takes as each of several: medians over rounds in which each runs once.

    Args:
        slow: What takes longer; called first in each round, and once to warm up.
        fast: The others by name, called after it in turn, each once to warm up.
        seconds: Seconds to spend.
        least: Rounds to run, whatever time they take.

    Example:
        >>> found = ratios(lambda: time.sleep(0.02), {"fast": lambda: time.sleep(0.002)}, seconds=0)
        >>> found["fast"] > 2
        True
    """
    runs = [slow, *fast.values()]
    for run in runs:
        run()
    rounds: list[list[float]] = []
    start = time.perf_counter()
    while len(rounds) < least or time.perf_counter() - start < seconds:
        times = []
        for run in runs:
            before = time.perf_counter()
            run()
            times.append(time.perf_counter() - before)
        rounds.append([times[0] / other for other in times[1:]])
    return {name: statistics.median(each) for name, each in zip(fast, zip(*rounds, strict=True), strict=True)}


class Paced:
    """Batches by the number of their step, and the processor's seconds that each step took.

    Args:
        batch_at: Gives the batch of a step.

    Example:
        >>> paced = Paced(lambda step: [step])
        >>> [paced(step) for step in range(3)], len(paced.seconds)
        ([[0], [1], [2]], 2)
    """

    def __init__(self, batch_at: Callable[[int], Sequence[Any]]) -> None:
        self.batch_at, self._begun = batch_at, list[float]()

    def __call__(self, step: int) -> Sequence[Any]:
        """The batch of a step; the clock is read."""
        self._begun.append(time.process_time())
        return self.batch_at(step)

    @property
    def seconds(self) -> list[float]:
        """From the beginning of each step to that of the next."""
        return [after - before for before, after in itertools.pairwise(self._begun)]

    @property
    def pace(self) -> float:
        """The median of them; 0 before the second step."""
        return statistics.median(self.seconds or [0.0])


def curve(losses: Sequence[float], pace: float = 0.0, every: int = 10) -> list[list[float]]:
    """Step, seconds until then, and the mean of the last losses: a training's curve for its manifest.

    Args:
        losses: Loss of each step.
        pace: Seconds of a step.
        every: Steps that one point stands for.

    Example:
        >>> curve([4.0, 2.0, 1.0, 1.0], pace=0.5, every=2)
        [[2, 1.0, 3.0], [4, 2.0, 1.0]]
    """
    ends = range(every, len(losses) + 1, every)
    return [[end, round(end * pace, 1), round(statistics.mean(losses[end - every : end]), 4)] for end in ends]
