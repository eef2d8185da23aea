import pytest
import torch


def share(answer, ratio, advantage):
    return answer.clipped_share(torch.tensor(ratio), torch.tensor(advantage))


def test_far_enough_in_the_right_direction(answer):
    found = share(answer, [1.5, 1.1, 0.5, 0.9], [1.0, 1.0, -1.0, -1.0])
    assert found == pytest.approx(0.5), pytest.say(
        f"Two of these four tokens have gone far enough: 0.5, not {found}.",
        f"这四个词元里有两个走得够远了：是 0.5，而不是 {found}。",
    )


def test_the_wrong_direction_is_pulled_back(answer):
    found = share(answer, [0.5, 1.5], [1.0, -1.0])
    assert found == 0, pytest.say(
        "A good token that became rarer, a bad one that became more frequent: the "
        "minimum in (3) takes the unclipped value, and both have a gradient, not "
        f"{found}.",
        "好的词元变少了，坏的词元变多了：(3) 里的 min 取没有截断的值，"
        f"两个都有梯度，而不是 {found}。",
    )


def test_tokens_without_advantage_do_not_count(answer):
    found = share(answer, [1.5, 1.5, 1.0], [1.0, 0.0, 0.0])
    assert found == 1, pytest.say(
        f"Only one token has an advantage, and it is clipped: 1, not {found}.",
        f"只有一个词元有优势，而且被截断了：是 1，而不是 {found}。",
    )
