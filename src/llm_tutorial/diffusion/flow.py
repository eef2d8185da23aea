"""Euler's method on the straight path from noise to data: the sampler of Stable Diffusion 3 and FLUX."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

Levels = Literal["even", "diffusers"]
FlowNetwork = Callable[[Tensor, Tensor], Tensor]


class FlowEuler:
    """Rectified flow sampled with Euler's method [Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206].

    Equal to ``diffusers.FlowMatchEulerDiscreteScheduler``. Numbers in brackets are the formulas of the page on flow
    matching. Time runs from 1 (noise) to 0 (data), and a network predicts noise less data.

    Args:
        fractions: Share of noise before each step, falling, as ``flow_fractions`` gives them; the last step ends at 0.

    Attributes:
        fractions: As given, and the 0 at the end.

    Raises:
        ValueError: No fractions, or some that do not fall from at most 1 to above 0.

    Example:
        >>> sampler = FlowEuler([1.0, 0.5])
        >>> noise, data = torch.tensor([[2.0]]), torch.tensor([[1.0]])
        >>> sampler.step(noise - data, 0, noise)
        tensor([[1.5000]])
    """

    def __init__(self, fractions: Sequence[float]) -> None:
        self.fractions = [*map(float, fractions), 0.0]
        if len(self.fractions) < 2 or self.fractions[0] > 1 or not all(a > b for a, b in pairwise(self.fractions)):
            raise ValueError(
                "fractions of noise fall, each once, from at most 1 to above 0 (1 is noise, 0 is data)\n"
                "噪声的份额应逐个减小、不重复，从至多 1 到大于 0（1 是噪声，0 是数据）"
            )

    def __len__(self) -> int:
        return len(self.fractions) - 1

    def step(self, prediction: Tensor, place: int, z: Tensor) -> Tensor:
        """From one fraction of noise to the next.

        Args:
            prediction: The network's velocity for ``z``, of its shape: noise less data.
            place: Which of the steps, from 0.
            z: The noisy sample there, (batch, …).

        Raises:
            ValueError: Prediction and sample differ in shape, or there is no such step.
        """
        if prediction.shape != z.shape:
            raise ValueError(
                f"the prediction has the shape {tuple(prediction.shape)}, the sample {tuple(z.shape)}\n"
                f"预测的形状是 {tuple(prediction.shape)}，样本的形状是 {tuple(z.shape)}"
            )
        if not 0 <= place < len(self):
            raise ValueError(
                f"there are {len(self)} steps, counted from 0; {place} is none of them\n"
                f"共 {len(self)} 步，从 0 数起；没有第 {place} 步"
            )
        # 1. how far the clock goes: a negative number, from noise to data
        stride = self.fractions[place + 1] - self.fractions[place]
        # 2. along the velocity (10)
        return z + stride * prediction


def flow_fractions(steps: int, shift: float = 1.0, levels: Levels = "even", train_steps: int = 1000) -> list[float]:
    """Shares of noise at which a sampler of few steps calls the network.

    Args:
        steps: How many.
        shift: Factor of noise over signal; above 1 more of the steps are taken where there is much noise.
        levels: ``even``: 1, 1 - 1/steps, …, 1/steps before the shift, as the pipeline of FLUX lays them.
            ``diffusers``: from 1 to the least noisy timestep of training, both ends included, and that end shifted
            twice, as ``FlowMatchEulerDiscreteScheduler.set_timesteps(steps)`` does.
        train_steps: Timesteps of Diffusers' training; only for ``diffusers``.

    Raises:
        ValueError: No steps, a shift that is not above 0, or unknown levels.

    Example:
        >>> flow_fractions(4)
        [1.0, 0.75, 0.5, 0.25]
        >>> [round(fraction, 3) for fraction in flow_fractions(4, shift=3.0)]
        [1.0, 0.9, 0.75, 0.5]
        >>> [round(fraction, 3) for fraction in flow_fractions(4, levels="diffusers")]
        [1.0, 0.667, 0.334, 0.001]
    """
    if levels not in get_args(Levels):
        raise ValueError(f"levels are {' or '.join(get_args(Levels))}, not {levels!r}\n档位应为 even 或 diffusers")
    if steps < 1:
        raise ValueError(f"at least one step, not {steps}\n至少要有一步，而不是 {steps}")
    if levels == "even":
        plain = [1 - place / steps for place in range(steps)]
    else:
        last = shifted(1 / train_steps, shift)
        plain = [1 - place * (1 - last) / max(steps - 1, 1) for place in range(steps)]
    return [shifted(fraction, shift) for fraction in plain]


def shifted(fraction: float, shift: float) -> float:
    """A share of noise, with noise over signal multiplied by a factor (11).

    Args:
        fraction: From 0 to 1.
        shift: The factor.

    Raises:
        ValueError: A factor that is not above 0.

    Example:
        >>> shifted(0.5, 3.0)  # one part of noise to one of signal becomes three to one
        0.75
    """
    if shift <= 0:
        raise ValueError(f"the shift is above 0, not {shift}\nshift 应大于 0，而不是 {shift}")
    return shift * fraction / (1 - fraction + shift * fraction)


def flow_path(network: FlowNetwork, sampler: FlowEuler, start: Tensor) -> Iterator[Tensor]:
    """Every sample on the way from the noise, the start first.

    Args:
        network: Given noisy samples and their share of noise, (), predicts the velocity.
        sampler: Does the steps.
        start: Noise, (batch, …).
    """
    yield start
    for place, fraction in enumerate(sampler.fractions[:-1]):
        start = sampler.step(network(start, torch.tensor(fraction)), place, start)
        yield start


@torch.no_grad()
def flow_generate(network: FlowNetwork, sampler: FlowEuler, start: Tensor) -> Tensor:
    """The end of the path, of the shape of ``start``.

    Args:
        network: Given noisy samples and their share of noise, (), predicts the velocity.
        sampler: Does the steps.
        start: Noise, (batch, …).

    Example:
        >>> from llm_tutorial.diffusion.mixture import three_islands
        >>> from llm_tutorial.diffusion.straight import perfect_velocity
        >>> noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> points = flow_generate(perfect_velocity(three_islands()), FlowEuler(flow_fractions(20)), noise)
        >>> bool(three_islands().log_density(points).mean() > -2)
        True
    """
    z = start
    for reached in flow_path(network, sampler, start):
        z = reached
    return z
