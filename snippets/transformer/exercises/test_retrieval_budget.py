import random

import pytest

LENGTHS = {7: 300, 2: 900, 5: 150, 1: 200}


def test_nothing_overruns(answer):
    taken = answer.within_budget([7, 2, 5, 1], LENGTHS, 500)
    used = sum(LENGTHS[place] for place in taken)
    assert used <= 500, pytest.say(
        f"Passages {taken} have {used} tokens together; there is room for 500.",
        f"段落 {taken} 合计 {used} 个词元，而只放得下 500 个。",
    )


def test_a_shorter_one_may_still_come(answer):
    taken = answer.within_budget([7, 2, 5, 1], LENGTHS, 500)
    assert set(taken) == {7, 5}, pytest.say(
        f"After 7 (300 tokens), 2 (900) does not fit, but 5 (150) does: got {taken}.",
        f"取了 7（300 个词元）后，2（900 个）放不下，5（150 个）放得下：得到 {taken}。",
    )


def test_the_best_stands_first(answer):
    taken = answer.within_budget([7, 2, 5, 1], LENGTHS, 2000)
    assert taken == [7, 2, 5, 1], pytest.say(
        f"All four fit: wanted [7, 2, 5, 1], the best first; got {taken}.",
        f"四段都放得下：应为 [7, 2, 5, 1]，最好的在前；得到 {taken}。",
    )


def test_exactly_full_is_not_too_much(answer):
    assert answer.within_budget([5, 1], LENGTHS, 350) == [5, 1], pytest.say(
        "150 and 200 tokens fill 350 exactly: both fit.",
        "150 加 200 正好 350 个词元：两段都放得下。",
    )


def test_no_room_no_passage(answer):
    draw = random.Random(0)
    lengths = [draw.randrange(10, 99) for _ in range(20)]
    assert answer.within_budget(range(20), lengths, 5) == [], pytest.say(
        "Where no passage fits, the list is empty.", "一段都放不下时，应返回空列表。"
    )
