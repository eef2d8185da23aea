"""The forward process: how much of a sample is left after how many steps of noise.

Steps are counted as in Diffusers, from 0: timestep ``t`` is step ``t + 1`` of the chain, and ``alphas_cumprod[t]`` is
what remains after it. All numbers are kept in float64, since the last ones are small.
"""

import math
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

Kind = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]


class Schedule:
    """A variance schedule and the closed forms that follow from it [Ho et al. 2020, arXiv:2006.11239].

    Args:
        betas: Variance of the noise that each step adds, (steps,), from 0 to 1.

    Attributes:
        betas: As given, in float64.
        alphas: What a step leaves of the variance of the sample, ``1 - betas``.
        alphas_cumprod: What the steps up to this one leave of it: the running product of ``alphas``.

    Raises:
        ValueError: ``betas`` is not a row of numbers from 0 to 1.

    Example:
        >>> schedule = Schedule(torch.tensor([0.1, 0.2, 0.5]))
        >>> [round(float(each), 3) for each in schedule.alphas_cumprod]
        [0.9, 0.72, 0.36]
    """

    def __init__(self, betas: Tensor) -> None:
        betas = betas.double()
        if betas.ndim != 1 or not len(betas) or not bool(((betas >= 0) & (betas <= 1)).all()):
            raise ValueError(
                "betas are a row of numbers from 0 to 1, one for each step\nbetas 是一行 0 到 1 之间的数，每一步一个"
            )
        self.betas = betas
        self.alphas = 1 - betas
        self.alphas_cumprod = self.alphas.cumprod(0)

    def __len__(self) -> int:
        return len(self.betas)

    def signal(self, timesteps: Tensor) -> Tensor:
        """What is left of the sample at each timestep: the root of ``alphas_cumprod``, in float64."""
        return self.alphas_cumprod[self._checked(timesteps)].sqrt()

    def noise(self, timesteps: Tensor) -> Tensor:
        """Standard deviation of the noise at each timestep, in float64."""
        return (1 - self.alphas_cumprod[self._checked(timesteps)]).sqrt()

    def snr(self) -> Tensor:
        """Signal-to-noise ratio at every timestep, (steps,): variance of the signal over that of the noise.

        Example:
            >>> Schedule(torch.tensor([0.5, 0.5])).snr().numpy().round(3).tolist()
            [1.0, 0.333]
        """
        return self.alphas_cumprod / (1 - self.alphas_cumprod)

    def add_noise(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Draws the noisy sample of a timestep in one go.

        Args:
            sample: Clean, (batch, …).
            noise: Standard normal, of the same shape.
            timesteps: (batch,), from 0.

        Returns:
            Of the shape of ``sample``.

        Example:
            >>> schedule = Schedule(torch.tensor([0.36]))
            >>> schedule.add_noise(torch.ones(1, 2), torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
            tensor([[0.8000, 1.4000]])
        """
        return like(self.signal(timesteps), sample) * sample + like(self.noise(timesteps), sample) * noise

    def posterior(self, sample: Tensor, noisy: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the step before, given the noisy sample and the clean one.

        Args:
            sample: Clean, (batch, …).
            noisy: At the timesteps, of the same shape.
            timesteps: (batch,), from 0; before timestep 0 comes the clean sample itself, with variance 0.

        Returns:
            Mean, of the shape of ``sample``, and variance, (batch, 1, …).

        Example:
            >>> schedule = Schedule(torch.tensor([0.5, 0.5]))
            >>> mean, variance = schedule.posterior(torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([1]))
            >>> f"{mean.item():.4f} {variance.item():.4f}"
            '0.4714 0.3333'
        """
        now = self.alphas_cumprod[self._checked(timesteps)]
        before = torch.where(timesteps > 0, self.alphas_cumprod[timesteps - 1], 1.0)
        alpha, beta = self.alphas[timesteps], self.betas[timesteps]
        of_sample = before.sqrt() * beta / (1 - now)
        of_noisy = alpha.sqrt() * (1 - before) / (1 - now)
        mean = like(of_sample, sample) * sample + like(of_noisy, sample) * noisy
        return mean, like((1 - before) / (1 - now) * beta, sample)

    def _checked(self, timesteps: Tensor) -> Tensor:
        if timesteps.numel() and not 0 <= int(timesteps.min()) <= int(timesteps.max()) < len(self):
            raise ValueError(
                f"timesteps from 0 to {len(self) - 1}, not {int(timesteps.min())} to {int(timesteps.max())}\n"
                f"时间步应在 0 到 {len(self) - 1} 之间，而不是 {int(timesteps.min())} 到 {int(timesteps.max())}"
            )
        return timesteps


def make_schedule(
    kind: Kind = "scaled_linear", steps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012
) -> Schedule:
    """The schedules of Diffusers by the names that it has for them.

    Args:
        kind: ``linear`` [Ho et al. 2020], ``scaled_linear`` (linear in the root of beta: Stable Diffusion) or
            ``squaredcos_cap_v2`` (the cosine schedule [Nichol & Dhariwal 2021, arXiv:2102.09672], which has no beta
            of its own).
        steps: Of the chain.
        beta_start: The first variance.
        beta_end: The last.

    Raises:
        ValueError: An unknown kind, or no steps.

    Example:
        >>> print(f"{make_schedule('linear', 1000, 1e-4, 0.02).alphas_cumprod[-1]:.1e}")
        4.0e-05
    """
    if steps < 1:
        raise ValueError(f"at least one step, not {steps}\n至少要有一步，而不是 {steps}")
    if kind == "linear":
        return Schedule(torch.linspace(beta_start, beta_end, steps, dtype=torch.float64))
    if kind == "scaled_linear":
        return Schedule(torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2)
    if kind == "squaredcos_cap_v2":
        left = [math.cos((step / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for step in range(steps + 1)]
        ratios = [after / before for before, after in pairwise(left)]
        return Schedule(torch.tensor([min(1 - ratio, 0.999) for ratio in ratios], dtype=torch.float64))
    raise ValueError(f"unknown schedule {kind!r}; there are {', '.join(get_args(Kind))}\n没有名为 {kind!r} 的调度")


def zero_terminal_snr(schedule: Schedule) -> Schedule:
    """Moves and stretches the signal so that the last step leaves nothing of it [Lin et al. 2023, arXiv:2305.08891].

    Args:
        schedule: Its first step stays as it is.

    Example:
        >>> fixed = zero_terminal_snr(make_schedule())
        >>> float(fixed.alphas_cumprod[-1]), bool(fixed.alphas[0] == make_schedule().alphas[0])
        (0.0, True)
    """
    signal = schedule.alphas_cumprod.sqrt()
    first, last = signal[0].clone(), signal[-1].clone()
    left = ((signal - last) * first / (first - last)) ** 2
    return Schedule(1 - torch.cat([left[:1], left[1:] / left[:-1]]))


def like(values: Tensor, sample: Tensor) -> Tensor:
    """Values of a batch, (batch,), with the type, the device and as many dimensions as a sample."""
    return values.to(sample).reshape(-1, *[1] * (sample.ndim - 1))
