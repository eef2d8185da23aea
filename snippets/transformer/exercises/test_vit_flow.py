import pytest
import torch


def test_the_residual_keeps_half(answer):
    attention = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])  # one layer, one head
    found = answer.rollout_of_maximum(attention)
    assert torch.allclose(found, torch.tensor([0.5, 0.5])), pytest.say(
        "CLS attends to the other token alone, but the residual adds CLS itself: "
        f"half and half, not {found.tolist()}.",
        "CLS 只注意另一个词元，但残差又加上 CLS 自己：各占一半，"
        f"而不是 {found.tolist()}。",
    )


def test_heads_by_their_maximum(answer):
    one, other = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    found = answer.rollout_of_maximum(torch.tensor([[one, other, one]]))
    wanted = torch.tensor([2 / 3, 1 / 3])
    assert torch.allclose(found, wanted), pytest.say(
        "Heads [1, 0], [0, 1], [1, 0] have the maximum [1, 1]; with the residual "
        f"[2, 1], and a sum of one: [2/3, 1/3], not {found.tolist()}.",
        "三个头 [1, 0]、[0, 1]、[1, 0] 的最大值是 [1, 1]，加上残差是 [2, 1]，"
        f"归一后是 [2/3, 1/3]，而不是 {found.tolist()}。",
    )


def test_later_layers_stand_on_the_left(answer):
    first = [[1.0, 0, 0], [0, 0, 1.0], [0, 0, 1.0]]  # token 1 reads token 2
    second = [[0, 1.0, 0], [0, 1.0, 0], [0, 0, 1.0]]  # then CLS reads token 1
    found = answer.rollout_of_maximum(torch.tensor([[first], [second]]))
    assert torch.allclose(found, torch.tensor([0.5, 0.25, 0.25])), pytest.say(
        "Token 1 first reads token 2, then CLS reads token 1: CLS must hold a quarter "
        f"of token 2. Which side does the later layer stand on? {found.tolist()}",
        "词元 1 先读词元 2，然后 CLS 读词元 1：CLS 里应当有四分之一的词元 2。"
        f"后面的层应当乘在哪一边？{found.tolist()}",
    )
