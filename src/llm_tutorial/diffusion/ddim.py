"""The guess and the noise are mixed anew at the next level; how much of the noise is fresh is a choice."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from llm_tutorial.diffusion.losses import Prediction
from llm_tutorial.diffusion.sampling import Sampler
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.diffusion.spacing import Final


class DDIM(Sampler):
    """Denoising diffusion implicit models [Song et al. 2020, arXiv:2010.02502].

    Equal to ``diffusers.DDIMScheduler`` without clipping. Numbers in brackets are the formulas of the page on sampling.

    Args:
        schedule: That of the training.
        timesteps: To visit, from the noisiest on.
        kind: What the network predicts.
        eta: Share of fresh noise, from 0 (none: the same start gives the same sample) to 1 (that of DDPM).
        final: Where the last step ends; ``sigma_min`` is ``set_alpha_to_one=False`` in Diffusers.

    Raises:
        ValueError: As ``Sampler``, or an eta that is not from 0 to 1.

    Example:
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> sampler = DDIM(make_schedule(), [999, 499], "sample")
        >>> sampler.step(torch.zeros(1, 2), 0, torch.ones(1, 2))  # the noise is kept, at its new level
        tensor([[0.8519, 0.8519]])
    """

    def __init__(
        self,
        schedule: Schedule,
        timesteps: Sequence[int],
        kind: Prediction = "epsilon",
        eta: float = 0.0,
        final: Final = "zero",
    ) -> None:
        super().__init__(schedule, timesteps, kind, final)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is from 0 to 1, not {eta}\neta 应在 0 到 1 之间，而不是 {eta}")
        self.eta = eta

    def step(self, prediction: Tensor, place: int, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """From one timestep to the next.

        Args:
            prediction: The network's for ``x``, of its shape.
            place: Which of the timesteps, from 0.
            x: The noisy sample there, (batch, …).
            generator: Of the fresh noise, if there is any.
        """
        # 1. the clean sample that the prediction stands for, and the noise
        guess = self.guess(prediction, place, x)
        a_t, a_s = self.signal[place : place + 2]
        sigma_t, sigma_s = self.noise[place : place + 2]
        noise = (x - a_t * guess) / sigma_t
        # 2. the level of fresh noise (3)
        tau = self.eta * sigma_s / sigma_t * math.sqrt(1 - (a_t / a_s) ** 2)
        # 3. guess and noise at the new level (2)
        x = a_s * guess + math.sqrt(max(0.0, sigma_s**2 - tau**2)) * noise
        if tau == 0:
            return x
        return x + tau * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
