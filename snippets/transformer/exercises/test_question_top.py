import pytest
import torch

START = torch.tensor([9.0, 0.0, 6.0, 0.0, 0.0, 3.0])
END = torch.tensor([0.0, 9.0, 8.0, 2.0, 0.0, 3.0])
ALLOWED = torch.tensor([False, True, True, True, True, True])


def test_spans_do_not_overlap(answer):
    found = answer.top_spans(START, END, ALLOWED, count=3)
    for number, (first, last, _) in enumerate(found):
        for left, right, _ in found[:number]:
            assert last < left or first > right, pytest.say(
                f"The spans {left}–{right} and {first}–{last} share tokens; "
                "leave out the one with the lower score.",
                f"片段 {left}–{right} 和 {first}–{last} 有共同的词元；"
                "应当去掉得分低的那个。",
            )


def test_best_spans_come_first(answer):
    found = answer.top_spans(START, END, ALLOWED, count=3)
    best = found[0] if found else None
    assert best == (2, 2, 14.0), pytest.say(
        f"The best span is {best}; it should be token 2 alone, with 6 + 8 = 14.",
        f"最好的片段是 {best}；应当是单独的词元 2，得分 6 + 8 = 14。",
    )
    expected = [(2, 2, 14.0), (1, 1, 9.0), (5, 5, 6.0)]
    assert found == expected, pytest.say(
        f"Got {found}, expected {expected}: where a span is left out, "
        "the next best takes its place.",
        f"得到 {found}，应为 {expected}：去掉一个片段后，由下一个补上。",
    )


def test_fewer_spans_than_asked_for(answer):
    found = answer.top_spans(START[:3], END[:3], ALLOWED[:3], count=5)
    assert found == [(2, 2, 14.0), (1, 1, 9.0)], pytest.say(
        f"A passage of two tokens has at most two spans apart; got {found}. "
        "None may have a score of minus infinity.",
        f"只有两个词元的段落最多有两个互不重叠的片段；得到的是 {found}。"
        "不能有得分为负无穷的片段。",
    )
