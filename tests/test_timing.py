import time

import pytest

from llm_tutorial import timing


def test_a_ratio_is_that_of_the_two_times() -> None:
    assert timing.ratio(lambda: time.sleep(0.02), lambda: time.sleep(0.01), seconds=0) == pytest.approx(2, rel=0.4)


def test_at_least_so_many_pairs_are_run() -> None:
    calls: list[str] = []
    timing.ratio(lambda: calls.append("slow"), lambda: calls.append("fast"), seconds=0, least=3)
    assert calls == ["slow", "fast"] * 4  # the first two warm up


def test_several_share_the_runs_of_the_slow_one() -> None:
    calls: list[str] = []
    fast = {"one": lambda: calls.append("one"), "two": lambda: calls.append("two")}
    assert list(timing.ratios(lambda: calls.append("slow"), fast, seconds=0, least=3)) == ["one", "two"]
    assert calls == ["slow", "one", "two"] * 4


def test_the_pace_is_the_median_of_the_steps(monkeypatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 13.0])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    paced = timing.Paced(lambda step: [step])
    assert [paced(step) for step in range(4)] == [[0], [1], [2], [3]]
    assert paced.seconds == [1.0, 2.0, 10.0]
    assert paced.pace == 2.0
