"""What a network is off by, and what that costs, are told apart by a perfect and a spoiled one."""

import pytest
import torch
from torch import Tensor

from llm_tutorial.diffusion.losses import convert
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.diffusion.toy import PointNetwork, excess_error, excess_nats

TOY, SCHEDULE = three_islands(), make_schedule("linear", 20, 1e-2, 0.5)


def best(noisy: Tensor, timestep: Tensor, shrink: float = 1.0) -> Tensor:
    return shrink * TOY.denoise(noisy, SCHEDULE.signal(timestep), SCHEDULE.noise(timestep))


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_perfect_network_of_every_kind_has_no_excess(kind: str) -> None:
    def network(noisy: Tensor, timestep: Tensor) -> Tensor:
        return convert("sample", kind, best(noisy, timestep), noisy, timestep, SCHEDULE)

    assert excess_error(network, kind, TOY, SCHEDULE, points=64).max() < 1e-4


def test_a_guess_that_is_too_short_costs_what_the_bound_says() -> None:
    errors = excess_error(lambda noisy, t: best(noisy, t, 0.5), "sample", TOY, SCHEDULE, points=2000)
    assert errors.min() > 0.05
    snr = SCHEDULE.snr()
    assert excess_nats(errors, SCHEDULE) == pytest.approx(
        sum(0.5 * (snr[t - 1] - snr[t]) * errors[t] for t in range(1, 20)).item()
    )


def test_the_network_tells_steps_apart() -> None:
    torch.manual_seed(0)
    network, points = PointNetwork(100), torch.randn(4, 2)
    outputs = [network(points, torch.tensor(t)) for t in (0, 1, 50, 99)]
    assert min((a - b).abs().max() for i, a in enumerate(outputs) for b in outputs[:i]) > 1e-4
    assert torch.allclose(network(points, torch.full((4,), 50)), outputs[2])
