import pytest
import torch

BELIEF = torch.tensor([0.6, 0.3, 0.1])


def test_a_yes_makes_the_value_likelier(answer):
    found = answer.after_answer(BELIEF, 0, True, 0.1)
    wanted = torch.tensor([0.54, 0.03, 0.01]) / 0.58
    assert torch.allclose(found, wanted, atol=1e-4), pytest.say(
        f"Belief 0.6, 0.3, 0.1; a yes to the first, swapped one time in ten: "
        f"{[round(x, 3) for x in found.tolist()]}. The first is multiplied by 0.9, the "
        "others by 0.1, and the sum is 1 again.",
        f"信念是 0.6、0.3、0.1；对第一个值听到「是」，十次里有一次听反：得到 "
        f"{[round(x, 3) for x in found.tolist()]}。第一个乘 0.9，其余乘 0.1，"
        "再使总和为 1。",
    )


def test_a_no_leaves_the_others_in_proportion(answer):
    found = answer.after_answer(BELIEF, 0, False, 0.1)
    wanted = torch.tensor([0.06, 0.27, 0.09]) / 0.42
    assert torch.allclose(found, wanted, atol=1e-4), pytest.say(
        f"After a no to the first value: {[round(x, 3) for x in found.tolist()]}. The "
        "first is multiplied by 0.1, for the no may be a swapped yes; the others by "
        "0.9.",
        f"对第一个值听到「不是」之后：{[round(x, 3) for x in found.tolist()]}。"
        "第一个乘 0.1，因为「不是」可能是听反了的「是」；其余乘 0.9。",
    )


def test_a_coin_says_nothing(answer):
    found = answer.after_answer(BELIEF, 1, True, 0.5)
    assert torch.allclose(found, BELIEF, atol=1e-6), pytest.say(
        "Swapped every other time, an answer says nothing: the belief stays.",
        "两次里有一次听反，回答就什么也没说：信念不变。",
    )
