"""The closed forms of the mixture are derivatives and means of what is drawn from it."""

import pytest
import torch

from llm_tutorial.diffusion.mixture import Mixture, three_islands

LEVELS = [(1.0, 0.0), (0.8, 0.6), (0.1, 0.995), (0.0, 1.0)]


@pytest.mark.parametrize("level", LEVELS)
def test_the_density_sums_to_one_and_the_score_is_its_gradient(level: tuple) -> None:
    toy = three_islands()
    axis = torch.linspace(-6, 6, 601)
    grid = torch.cartesian_prod(axis, axis).requires_grad_()
    log_density = toy.log_density(grid, *level)
    assert abs(log_density.exp().sum().item() * (12 / 600) ** 2 - 1) < 1e-3
    [gradient] = torch.autograd.grad(log_density.sum(), grid)
    near = log_density > -20
    assert torch.allclose(gradient[near], toy.score(grid, *level)[near], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_best_guess_is_tweedies(level: tuple) -> None:
    """Signal times guess is the point plus the noise's variance times the score."""
    toy, (signal, noise) = three_islands(), level
    points = torch.randn(50, 2)
    guess = toy.denoise(points, signal, noise)
    assert torch.allclose(signal * guess, points + noise**2 * toy.score(points, signal, noise), atol=1e-4)


def test_the_best_guess_is_the_mean_of_clean_points_near_a_noisy_one() -> None:
    toy, generator = three_islands(), torch.Generator().manual_seed(0)
    clean = toy.sample(2_000_000, generator)
    noisy = 0.8 * clean + 0.6 * torch.randn(clean.shape, generator=generator)
    place = torch.tensor([0.4, 0.2])
    near = (noisy - place).norm(dim=1) < 0.05
    assert torch.allclose(clean[near].mean(0), toy.denoise(place[None], 0.8, 0.6)[0], atol=0.03)


def test_levels_of_a_batch_are_those_of_its_points() -> None:
    toy, points = three_islands(), torch.randn(3, 2)
    signal, noise = torch.tensor([1.0, 0.8, 0.0]), torch.tensor([0.1, 0.6, 1.0])
    for method in (toy.log_density, toy.score, toy.denoise):
        together = method(points, signal, noise)
        for place in range(3):
            alone = method(points[place : place + 1], float(signal[place]), float(noise[place]))
            assert torch.allclose(together[place], alone[0], atol=1e-5)


def test_draws_have_the_weights_and_the_mean() -> None:
    toy = three_islands()
    points = toy.sample(100_000, torch.Generator().manual_seed(0))
    assert torch.allclose(points.mean(0), toy.mean(), atol=0.02)
    nearest = torch.cdist(points, toy.centres).argmin(1)
    assert torch.allclose(nearest.bincount() / len(points), toy.weights, atol=0.01)


def test_weights_of_nothing_and_odd_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="形状"):
        Mixture(torch.ones(2), torch.zeros(3, 2), torch.ones(2))
    with pytest.raises(ValueError, match="大于 0"):
        Mixture(torch.ones(2), torch.zeros(2, 2), torch.tensor([1.0, 0.0]))
