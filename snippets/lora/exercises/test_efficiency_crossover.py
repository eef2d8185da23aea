import pytest

LENGTHS = [256, 512, 1024, 2048]


def test_halfway_in_logarithms(answer):
    found = answer.crossover(LENGTHS, [0.5, 2.0, 4.0, 8.0])
    assert found == pytest.approx(256 * 2**0.5, rel=1e-6), pytest.say(
        "From 0.5 at 256 to 2 at 512, the logarithm of the ratio is zero halfway: "
        "at 256·√2.",
        "比值从 256 处的 0.5 到 512 处的 2，对数恰在中点为零：256·√2。",
    )


def test_the_last_crossing_counts(answer):
    found = answer.crossover(LENGTHS, [1.1, 0.8, 1.25, 2.0])
    assert found == pytest.approx(512 * 2**0.5, rel=1e-6), pytest.say(
        "A ratio above 1 that falls below it again is no crossover: "
        "look from the last length at which sparse is slower.",
        "一度超过 1 又跌回去，不算追平：要从稀疏最后一次较慢的长度看起。",
    )


def test_never_and_always(answer):
    assert answer.crossover(LENGTHS, [1.2, 2.0, 3.0, 4.0]) == 256, pytest.say(
        "Never slower: the crossover is at or below the first length.",
        "从不较慢：追平点就取第一个长度。",
    )
    assert answer.crossover(LENGTHS, [0.2, 0.3, 0.4, 0.9]) is None, pytest.say(
        "Slower at the end: no crossover was measured; say None.",
        "到最后仍较慢：没有测到追平点，应返回 None。",
    )
