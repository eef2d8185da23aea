"""A small network for points in the plane, and how far it is from the best one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from llm_tutorial.diffusion.losses import Prediction, sample_and_noise
from llm_tutorial.diffusion.mixture import Mixture
from llm_tutorial.diffusion.schedule import Schedule


class PointNetwork(nn.Module):
    """Given noisy points and their timesteps, predicts one vector for each.

    Args:
        steps: Of the forward process.
        width: Of the hidden layers.
        dimensions: Of a point.

    Example:
        >>> PointNetwork(100)(torch.zeros(5, 2), torch.tensor(7)).shape
        torch.Size([5, 2])
    """

    frequencies: Tensor

    def __init__(self, steps: int, width: int = 128, dimensions: int = 2) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.Sequential(
            nn.Linear(dimensions + 16, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, dimensions),
        )  # fmt: skip
        self.register_buffer("frequencies", torch.pi / 2 * 2.0 ** torch.arange(8), persistent=False)

    def forward(self, points: Tensor, timesteps: Tensor) -> Tensor:
        """Of the shape of ``points``; timesteps, from 0, are one number or (batch,)."""
        share = (timesteps / (self.steps - 1)).to(points).expand(len(points))[:, None]
        angles = share * self.frequencies  # (batch, 8)
        return self.layers(torch.cat([points, angles.sin(), angles.cos()], 1))


@torch.no_grad()
def excess_error(
    network: Callable[[Tensor, Tensor], Tensor],
    kind: Prediction,
    toy: Mixture,
    schedule: Schedule,
    points: int = 4096,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How far guesses of the clean point are from the best ones: the mean squared distance at each timestep, (steps,).

    Args:
        network: Given noisy points and their timestep, predicts.
        kind: What it predicts.
        toy: The clean points.
        schedule: Of the forward process.
        points: Drawn for each timestep.
        generator: Of the draw.

    Example:
        >>> from llm_tutorial.diffusion.mixture import three_islands
        >>> toy, schedule = three_islands(), Schedule(torch.tensor([0.36]))
        >>> best = lambda noisy, t: toy.denoise(noisy, schedule.signal(t), schedule.noise(t))
        >>> excess_error(best, "sample", toy, schedule).tolist()
        [0.0]
    """
    errors = []
    for step in range(len(schedule)):
        timestep = torch.tensor([step])
        clean = toy.sample(points, generator)
        noisy = schedule.add_noise(clean, torch.randn(clean.shape, generator=generator), timestep)
        guess, _ = sample_and_noise(kind, network(noisy, timestep), noisy, timestep, schedule)
        best = toy.denoise(noisy, schedule.signal(timestep), schedule.noise(timestep))
        errors.append((guess - best).square().sum(1).mean())
    return torch.stack(errors)


def excess_nats(errors: Tensor, schedule: Schedule) -> float:
    """What the errors cost in the variational bound, in nats: half the fall of the SNR at each step, times the error.

    Args:
        errors: As ``excess_error`` gives them.
        schedule: Of the forward process. Its first step, which has a likelihood in place of a divergence, is left out.

    Example:
        >>> round(excess_nats(torch.tensor([0.0, 2.0]), Schedule(torch.tensor([0.5, 0.6]))), 6)
        0.75
    """
    snr = schedule.snr()
    return ((snr[:-1] - snr[1:]) / 2 * errors[1:].to(snr)).sum().item()
