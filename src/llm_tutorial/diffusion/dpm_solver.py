"""A step that also knows how the guess has changed since the step before: second order at the price of first."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from llm_tutorial.diffusion.losses import Prediction
from llm_tutorial.diffusion.sampling import Sampler
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.diffusion.spacing import Final


class DPMSolver(Sampler):
    """DPM-Solver++(2M) [Lu et al. 2022, arXiv:2211.01095, algorithm 2].

    Equal to ``diffusers.DPMSolverMultistepScheduler`` with its defaults. Numbers in brackets are the formulas of the
    page on sampling.

    Args:
        schedule: That of the training.
        timesteps: To visit, from the noisiest on.
        kind: What the network predicts.
        order: 2, or 1 for DDIM without fresh noise.
        final: Where the last step ends.

    Raises:
        ValueError: As ``Sampler``, or another order.

    Example:
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> sampler = DPMSolver(make_schedule(), [999, 499], "sample")
        >>> sampler.step(torch.zeros(1, 2), 0, torch.ones(1, 2))  # the first step has no step before: it is DDIM's
        tensor([[0.8519, 0.8519]])
    """

    def __init__(
        self,
        schedule: Schedule,
        timesteps: Sequence[int],
        kind: Prediction = "epsilon",
        order: int = 2,
        final: Final = "zero",
    ) -> None:
        super().__init__(schedule, timesteps, kind, final)
        if order not in (1, 2):
            raise ValueError(f"the order is 1 or 2, not {order}\n阶数应为 1 或 2，而不是 {order}")
        self.order = order
        self._before: tuple[int, Tensor] | None = None  # the place and the guess of the step before

    def step(self, prediction: Tensor, place: int, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """From one timestep to the next; places follow one another, and place 0 begins anew.

        Args:
            prediction: The network's for ``x``, of its shape.
            place: Which of the timesteps, from 0.
            x: The noisy sample there, (batch, …).
            generator: Not needed; samplers are called alike.

        Raises:
            ValueError: The step before is missing.
        """
        # 1. the clean sample that the prediction stands for; the one before is kept
        guess = self.guess(prediction, place, x)
        before, self._before = self._before, (place, guess)
        if place and (before is None or before[0] != place - 1 or before[1].shape != guess.shape):
            raise ValueError(
                f"step {place} builds on step {place - 1} of the same samples, which was not done last\n"
                f"第 {place} 步要用到同一批样本的第 {place - 1} 步，而上一步不是它"
            )
        # 2. lambda is the log of signal over noise, h how far a step goes along it
        a_s, sigma_t, sigma_s = self.signal[place + 1], *self.noise[place : place + 2]
        h = self._lambda(place + 1) - self._lambda(place)
        # 3. at which guess the step aims: now's (10), or the one extrapolated to mid-step (11)
        last = place + 1 == len(self.timesteps)
        plain = last and (sigma_s == 0 or len(self.timesteps) < 15)  # as Diffusers: the last step is of first order
        if self.order == 2 and before is not None and place and not plain:
            h_before = self._lambda(place) - self._lambda(place - 1)
            guess = guess + h / (2 * h_before) * (guess - before[1])
        # 4. the step (10)
        return sigma_s / sigma_t * x + a_s * (1 - math.exp(-h)) * guess

    def _lambda(self, place: int) -> float:
        a, sigma = self.signal[place], self.noise[place]
        if not a or not sigma:
            return -math.inf if sigma else math.inf
        return math.log(a) - math.log(sigma)
