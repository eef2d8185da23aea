import pytest
import torch


def test_the_others_are_the_baseline(answer):
    got = answer.advantages(torch.tensor([[1.0, 0.0, 0.0]]))[0].tolist()
    wanted = [1.0, -0.5, -0.5]
    assert got == pytest.approx(wanted), pytest.say(
        f"Rewards 1, 0, 0 give {wanted}, not {[round(g, 2) for g in got]}: the others "
        "of the first have mean 0, those of the second have mean 0.5.",
        f"奖励 1、0、0 的优势是 {wanted}，而不是 {[round(g, 2) for g in got]}："
        "第一个回答，其余的平均是 0；第二个，其余的平均是 0.5。",
    )


def test_prompts_do_not_mix(answer):
    both = answer.advantages(torch.tensor([[1.0, 0.0], [9.0, 7.0]])).tolist()
    assert both == [[1.0, -1.0], [2.0, -2.0]], pytest.say(
        f"Prompts (1, 0) and (9, 7) give (1, -1) and (2, -2), not {both}: only answers "
        "to the same prompt are compared.",
        f"两个提示词 (1, 0) 和 (9, 7) 的优势是 (1, -1) 和 (2, -2)，而不是 {both}："
        "只在同一个提示词的回答之间比较。",
    )
