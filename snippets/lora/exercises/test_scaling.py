import pytest
import torch
from torch.nn import functional as F


def decrease(factor: float, rank: int, seed: int) -> float:
    torch.manual_seed(seed)
    x, target = torch.randn(16, 64), torch.randn(16, 64)
    A = ((2 * torch.rand(rank, 64) - 1) / 8).requires_grad_()
    B = torch.zeros(64, rank, requires_grad=True)
    loss = F.mse_loss(factor * (x @ A.T) @ B.T, target)
    (grad_B,) = torch.autograd.grad(loss, B)
    return (loss - F.mse_loss(factor * (x @ A.T) @ (-1e-3 * grad_B).T, target)).item()


def test_the_first_step_gains_the_same_at_every_rank(answer):
    gains = {}
    for rank in (2, 8, 32):
        factor = answer.scaling(rank, 8.0)
        gains[rank] = sum(decrease(factor, rank, seed) for seed in range(20)) / 20
    assert gains[32] > gains[2] / 1.25, pytest.say(
        f"At rank 32 the step gains {gains[32] / gains[2]:.2f} of what it gains at "
        "rank 2. The gain goes with the factor squared times the rank.",
        f"秩为 32 时，一步的收益只有秩为 2 时的 {gains[32] / gains[2]:.2f}。"
        "收益正比于「系数的平方乘以秩」。",
    )
    assert gains[32] < gains[2] * 1.25, pytest.say(
        f"At rank 32 the step now gains {gains[32] / gains[2]:.2f} times as much as "
        "at rank 2: the factor falls too slowly.",
        f"秩为 32 时，一步的收益是秩为 2 时的 {gains[32] / gains[2]:.2f} 倍："
        "系数下降得太慢。",
    )


def test_alpha_still_scales(answer):
    one, two = answer.scaling(4, 8.0), answer.scaling(4, 16.0)
    assert two == pytest.approx(2 * one), pytest.say(
        "Twice alpha shall give twice the factor.", "alpha 加倍，系数也应加倍。"
    )
