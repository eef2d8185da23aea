"""The first sampler: each step is the posterior of the forward process, with a guess in place of the clean sample."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from llm_tutorial.diffusion.losses import Prediction
from llm_tutorial.diffusion.sampling import Sampler
from llm_tutorial.diffusion.schedule import Schedule

Variance = Literal["fixed_small", "fixed_large"]


class DDPM(Sampler):
    """Ancestral sampling [Ho et al. 2020, arXiv:2006.11239, algorithm 2], with strides of any length.

    Equal to ``diffusers.DDPMScheduler`` without clipping. Numbers in brackets are the formulas of the page on sampling.

    Args:
        schedule: That of the training.
        timesteps: To visit, from the noisiest on.
        kind: What the network predicts.
        variance: ``fixed_small`` is that of the posterior, ``fixed_large`` that of the forward process.

    Raises:
        ValueError: As ``Sampler``, or an unknown variance.

    Example:
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> sampler = DDPM(make_schedule(), [999, 499], "sample")
        >>> sampler.step(torch.ones(1, 2), 1, torch.randn(1, 2))  # the last step goes to the guess
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        schedule: Schedule,
        timesteps: Sequence[int],
        kind: Prediction = "epsilon",
        variance: Variance = "fixed_small",
    ) -> None:
        super().__init__(schedule, timesteps, kind)
        if variance not in ("fixed_small", "fixed_large"):
            raise ValueError(
                f"the variance is fixed_small or fixed_large, not {variance!r}\n没有名为 {variance!r} 的方差"
            )
        self.variance = variance

    def step(self, prediction: Tensor, place: int, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """From one timestep to the next.

        Args:
            prediction: The network's for ``x``, of its shape.
            place: Which of the timesteps, from 0.
            x: The noisy sample there, (batch, …).
            generator: Of the noise.
        """
        # 1. the clean sample that the prediction stands for
        guess = self.guess(prediction, place, x)
        # 2. levels now and then (t and s), and the forward process between them
        a_t, a_s = self.signal[place : place + 2]
        sigma_t, sigma_s = self.noise[place : place + 2]
        alpha = (a_t / a_s) ** 2
        beta = 1 - alpha
        # 3. the posterior's mean (4)
        mean = a_s * beta / sigma_t**2 * guess + math.sqrt(alpha) * sigma_s**2 / sigma_t**2 * x
        # 4. and its variance, or the forward process's; none in the last step
        if place + 1 == len(self.timesteps):
            return mean
        variance = beta * sigma_s**2 / sigma_t**2 if self.variance == "fixed_small" else beta
        return mean + math.sqrt(variance) * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
