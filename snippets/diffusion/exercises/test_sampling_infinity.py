import pytest
import torch

from llm_tutorial.diffusion.distances import frechet_distance

SIZES = torch.tensor([100.0, 200.0, 400.0, 800.0], dtype=torch.float64)


def test_an_exact_law_is_extrapolated_exactly(answer):
    got = float(answer.at_infinity(SIZES, 3 + 500 / SIZES))
    assert abs(got - 3) < 1e-6, pytest.say(
        f"The distances 3 + 500 / n go to 3 as n grows; you returned {got:.2f}.",
        f"n 增大时，3 + 500 / n 趋于 3；你返回的是 {got:.2f}。",
    )


def test_two_sets_of_one_distribution_are_at_no_distance(answer):
    generator = torch.Generator().manual_seed(0)
    measured = [
        frechet_distance(*torch.randn(2, int(n), 20, generator=generator).unbind())
        for n in SIZES
    ]
    got = float(answer.at_infinity(SIZES, torch.tensor(measured, dtype=torch.float64)))
    assert abs(got) < 0.1, pytest.say(
        "Of two sets from one normal distribution, 100 to 800 vectors each, the "
        f"distance is 0; measured were {measured[0]:.1f} to {measured[-1]:.1f}, you "
        f"returned {got:.2f}.",
        "两组向量来自同一个正态分布，各 100 到 800 个，距离应为 0；"
        f"实测是 {measured[0]:.1f} 到 {measured[-1]:.1f}，你返回的是 {got:.2f}。",
    )
