"""Distances are those of closed forms, are zero where nothing differs, and see what differs."""

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from llm_tutorial.diffusion.distances import frechet_distance, kl_to_density, sliced_wasserstein
from llm_tutorial.diffusion.mixture import Mixture, three_islands

NORMAL = Mixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))


def draw(count: int, seed: int = 0, dimensions: int = 2) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def test_on_a_line_slices_are_the_cheapest_transport() -> None:
    one, other = draw(40, 0, 1), 2 * draw(40, 1, 1) + 1
    costs = (one - other.T).square().numpy()
    cheapest = costs[linear_sum_assignment(costs)].mean() ** 0.5
    assert abs(sliced_wasserstein(one, other) - cheapest) < 1e-5


def test_a_shift_is_seen_from_all_sides_alike() -> None:
    points = draw(500)
    for angle in (0.0, 0.7, 2.0):
        shift = torch.tensor([math.cos(angle), math.sin(angle)])
        assert abs(sliced_wasserstein(points, points + shift) - 0.5**0.5) < 1e-3
    assert sliced_wasserstein(points, points.flip(0)) == 0
    high = draw(300, 2, 20)
    assert abs(sliced_wasserstein(high, high + 1, 2000) - 1) < 0.05  # length √20, seen in one of 20 dimensions


def test_the_frechet_distance_is_that_of_two_gaussians() -> None:
    mixed = torch.tensor([[1.0, 0.5], [0.0, 2.0]])
    one, other = draw(200_000, 0), draw(200_000, 1) @ mixed + torch.tensor([1.0, -1.0])
    covariance = mixed.T @ mixed
    values = torch.linalg.eigvalsh(covariance)
    truth = 2 + 2 + covariance.trace() - 2 * values.sqrt().sum()
    assert abs(frechet_distance(one, other) - truth) < 0.05
    assert abs(frechet_distance(other, one) - frechet_distance(one, other)) < 1e-6
    assert frechet_distance(one, one) < 1e-6


def test_the_frechet_distance_of_few_samples_is_too_large_by_one_over_their_number() -> None:
    means = [
        sum(frechet_distance(draw(n, 2 * k, 20), draw(n, 2 * k + 1, 20)) for k in range(5)) / 5 for n in (200, 400)
    ]
    assert 1.6 < means[0] / means[1] < 2.4


def test_features_that_never_vary_do_no_harm() -> None:
    flat = torch.cat([draw(50), torch.zeros(50, 3)], 1)
    assert frechet_distance(flat, flat + 1) == pytest.approx(5, abs=1e-4)


def test_the_divergence_is_that_of_closed_forms() -> None:
    assert abs(kl_to_density(draw(8000), NORMAL)) < 0.03
    assert abs(kl_to_density(draw(8000) + torch.tensor([1.0, 0.0]), NORMAL) - 0.5) < 0.04
    narrow = 0.5**2 - 1 - 2 * math.log(0.5)  # of two dimensions
    assert abs(kl_to_density(0.5 * draw(8000), NORMAL) - narrow) < 0.04
    islands = three_islands()
    assert abs(kl_to_density(islands.sample(8000, torch.Generator().manual_seed(0)), islands)) < 0.03
    missing = islands.sample(8000, torch.Generator().manual_seed(0))
    missing = missing[(missing - islands.centres[2]).norm(dim=1) > 1]  # an island of weight 0.2 is never drawn
    assert abs(kl_to_density(missing, islands) + math.log(0.8)) < 0.04


def test_bad_input_is_refused_in_both_languages() -> None:
    points, broken = draw(10), draw(10)
    broken[3, 0] = float("nan")
    for call, said in (
        (lambda: sliced_wasserstein(points, draw(9)), "点数与维数应相同"),
        (lambda: sliced_wasserstein(broken, points), "1 个不是有限的数"),
        (lambda: sliced_wasserstein(points[:, 0], points[:, 0]), "点集的形状"),
        (lambda: frechet_distance(points, draw(10, 0, 3)), "特征数相同"),
        (lambda: frechet_distance(points[:1], points), "至少两个样本"),
        (lambda: frechet_distance(points, broken), "不是有限的数"),
        (lambda: kl_to_density(points[:5], NORMAL), "近邻数"),
        (lambda: kl_to_density(points, NORMAL, 0), "近邻数"),
        (lambda: kl_to_density(broken, NORMAL), "不是有限的数"),
    ):
        with pytest.raises(ValueError, match="(?s)[a-z].*\n.*" + said):
            call()
