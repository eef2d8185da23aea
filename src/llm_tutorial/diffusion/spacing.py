"""Which of the training's timesteps a sampler of few steps visits, and the levels of signal and noise there."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch

from llm_tutorial.diffusion.schedule import Schedule

Spacing = Literal["leading", "trailing", "linspace"]
Final = Literal["zero", "sigma_min"]


def spaced_timesteps(
    spacing: Spacing, steps: int, train_steps: int = 1000, offset: int = 0, skip_zero: bool = False
) -> list[int]:
    """The timesteps of a sampler, from the noisiest on, as Diffusers' ``set_timesteps`` lays them.

    Args:
        spacing: ``leading`` counts up from 0 in equal whole strides and leaves out what is beyond; ``trailing`` counts
            down from the last one; ``linspace`` has both ends [Lin et al. 2023, arXiv:2305.08891, table 2].
        steps: How many.
        train_steps: Of the chain that the network was trained on.
        offset: Added to ``leading`` timesteps (``steps_offset``; Stable Diffusion has 1).
        skip_zero: As ``DPMSolverMultistepScheduler`` does it: lays one more of ``leading`` and ``linspace`` and leaves
            the last out, because its last step goes to the clean sample from further off.

    Raises:
        ValueError: No steps, more than the chain has, an unknown spacing, or an offset beyond the chain.

    Example:
        >>> for spacing in ("leading", "trailing", "linspace"): print(spaced_timesteps(spacing, 4))
        [750, 500, 250, 0]
        [999, 749, 499, 249]
        [999, 666, 333, 0]
        >>> spaced_timesteps("linspace", 4, skip_zero=True)
        [999, 749, 500, 250]
    """
    if spacing not in get_args(Spacing):
        raise ValueError(
            f"unknown spacing {spacing!r}; there are {', '.join(get_args(Spacing))}\n没有名为 {spacing!r} 的间隔方式"
        )
    laid = steps + 1 if skip_zero and spacing != "trailing" else steps
    if not 1 <= steps <= laid <= train_steps:
        raise ValueError(
            f"from 1 to {train_steps - laid + steps} steps, for the network knows {train_steps} timesteps; not {steps}\n"
            f"步数应在 1 到 {train_steps - laid + steps} 之间，因为网络只认识 {train_steps} 个时间步；而不是 {steps}"
        )
    if spacing == "leading":
        stride = train_steps // laid
        up = [place * stride + offset for place in range(laid)]
    elif spacing == "trailing":
        up = [round(train_steps - place * train_steps / steps) - 1 for place in reversed(range(steps))]
    else:
        up = [round(place * (train_steps - 1) / max(laid - 1, 1)) for place in range(laid)]
    if not 0 <= up[0] <= up[-1] < train_steps:
        raise ValueError(
            f"the offset {offset} leads to timestep {up[-1]}, beyond the last one, {train_steps - 1}\n"
            f"偏移 {offset} 使时间步到了 {up[-1]}，超出了最后一个 {train_steps - 1}"
        )
    return up[::-1][:steps]


def log_snr_timesteps(schedule: Schedule, steps: int) -> list[int]:
    """Timesteps at even distances in the logarithm of signal over noise, or as near to them as the chain allows.

    Args:
        schedule: Of the forward process.
        steps: How many, both ends of the chain among them.

    Returns:
        Timesteps from the noisiest on, no two alike; where the chain is too coarse they follow one another.

    Raises:
        ValueError: No steps, or more than the chain has.

    Example:
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> log_snr_timesteps(make_schedule("linear", 1000, 1e-4, 0.02), 6)
        [999, 785, 492, 138, 17, 0]
    """
    if not 1 <= steps <= len(schedule):
        raise ValueError(
            f"from 1 to {len(schedule)} steps, not {steps}\n步数应在 1 到 {len(schedule)} 之间，而不是 {steps}"
        )
    log_ratios = schedule.snr().log() / 2
    noisiest = log_ratios[log_ratios.isfinite()][-1]  # with zero terminal SNR the last one is minus infinity
    goals = torch.linspace(float(noisiest), float(log_ratios[0]), steps, dtype=torch.float64)
    near = [int((log_ratios - goal).abs().argmin()) for goal in goals]
    near[0] = len(schedule) - 1
    for place in reversed(range(steps - 1)):  # apart from the next one,
        near[place] = max(near[place], near[place + 1] + 1)
    near = [min(each, len(schedule) - 1 - place) for place, each in enumerate(near)]  # and within the chain
    return near


def levels(schedule: Schedule, timesteps: Sequence[int], final: Final = "zero") -> tuple[list[float], list[float]]:
    """Signal and noise at each timestep, and at the end of the last step.

    Args:
        schedule: Of the forward process.
        timesteps: From the noisiest on.
        final: Where the last step ends: at the clean sample (``zero``) or at timestep 0 of the chain (``sigma_min``).

    Returns:
        Two rows, each of one number more than there are timesteps.

    Raises:
        ValueError: No timesteps, timesteps that do not fall or are not in the chain, or an unknown end.

    Example:
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> signal, noise = levels(make_schedule(), [999, 499])
        >>> [f"{level:.2f}" for level in signal], [f"{level:.2f}" for level in noise]
        (['0.07', '0.53', '1.00'], ['1.00', '0.85', '0.00'])
    """
    if final not in get_args(Final):
        raise ValueError(f"the end is {' or '.join(get_args(Final))}, not {final!r}\n终点应为 zero 或 sigma_min")
    falling = all(now > then for now, then in pairwise(timesteps))
    if not timesteps or not falling or not 0 <= timesteps[-1] <= timesteps[0] < len(schedule):
        raise ValueError(
            f"timesteps fall, each once, from at most {len(schedule) - 1} to at least 0\n"
            f"时间步应逐个减小、不重复，从至多 {len(schedule) - 1} 到至少 0"
        )
    left = [float(schedule.alphas_cumprod[timestep]) for timestep in timesteps]
    left.append(1.0 if final == "zero" else float(schedule.alphas_cumprod[0]))
    return [math.sqrt(share) for share in left], [math.sqrt(1 - share) for share in left]
