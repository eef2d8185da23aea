import pytest
import torch

torch.manual_seed(0)
SCORES = torch.randn(4000, 3) * torch.rand(4000, 1)
REWARDS = 1 + SCORES.square().sum(1)  # long scores are paid more


def spread(b):
    return ((REWARDS - b)[:, None] * SCORES).square().sum(1).mean()


def test_no_other_constant_varies_less(answer):
    b = answer.best_baseline(SCORES, REWARDS)
    better = min((b - 0.05, b + 0.05), key=spread)
    assert spread(b) <= spread(better), pytest.say(
        f"With b = {b:.2f} the mean square of the estimate is {spread(b):.3f}, with "
        f"{better:.2f} only {spread(better):.3f}. Set the derivative of "
        "E[|score|² (R - b)²] to zero.",
        f"b = {b:.2f} 时，估计量的均方是 {spread(b):.3f}；b = {better:.2f} 时只有 "
        f"{spread(better):.3f}。令 E[|score|² (R - b)²] 的导数为零。",
    )


def test_equal_scores_leave_the_mean(answer):
    b = answer.best_baseline(torch.ones(4, 2), torch.tensor([0.0, 1.0, 1.0, 2.0]))
    assert b == 1, pytest.say(
        f"Where all scores are equally long, the best baseline is the mean reward, 1, "
        f"not {b:.2f}.",
        f"score 一样长时，最佳基线就是平均奖励 1，而不是 {b:.2f}。",
    )
