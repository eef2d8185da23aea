import random

import pytest


def test_one_answer(answer):
    found = answer.best_of_n([True, False, False, False], 1)
    assert found == pytest.approx(0.25), pytest.say(
        f"The best of one is that one: 1 of 4 is right, so 0.25, not {found}.",
        f"只有一个时，最好的就是它：4 个里对 1 个，是 0.25，而不是 {found}。",
    )


def test_all_of_them(answer):
    found = answer.best_of_n([True, False, False, False], 4)
    assert found == pytest.approx(1.0), pytest.say(
        f"Whoever takes all four has the right one among them: 1, not {found}. Count "
        "the choices of n answers that have no right one.",
        f"四个全拿，对的就在里面：是 1，而不是 {found}。"
        "请数一数 n 个回答全错的取法有几种。",
    )


def test_it_has_no_bias(answer):
    random.seed(0)
    draws = [[random.random() < 0.3 for _ in range(5)] for _ in range(20_000)]
    mean = sum(answer.best_of_n(draw, 3) for draw in draws) / len(draws)
    right = 1 - 0.7**3
    assert mean == pytest.approx(right, abs=0.01), pytest.say(
        f"With 30 % right answers the best of 3 is right in {right:.3f}; over many "
        f"groups yours says {mean:.3f}.",
        f"回答有 30% 是对的，3 个里最好的对的概率是 {right:.3f}；"
        f"在很多组上平均，这里给出 {mean:.3f}。",
    )
