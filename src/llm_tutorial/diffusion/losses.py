"""What a network may predict, how one prediction becomes another, and the loss.

With the signal ``s`` and the noise level ``n`` of a timestep (``s**2 + n**2 == 1``), a noisy sample is
``s * sample + n * noise``. A network that knows it and one more of ``epsilon`` (the noise), ``sample`` and
``v_prediction`` (the velocity ``s * noise - n * sample`` [Salimans & Ho 2022, arXiv:2202.00512]) knows all three.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from llm_tutorial.diffusion.schedule import Schedule, like

Prediction = Literal["epsilon", "sample", "v_prediction"]


def target_of(kind: Prediction, sample: Tensor, noise: Tensor, timesteps: Tensor, schedule: Schedule) -> Tensor:
    """What a network of this kind is to predict.

    Args:
        kind: Of the prediction.
        sample: Clean, (batch, …).
        noise: What was added, of the same shape.
        timesteps: (batch,).
        schedule: Of the forward process.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> schedule = Schedule(torch.tensor([0.36]))
        >>> target_of("v_prediction", torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([0]), schedule)
        tensor([[-0.6000]])
    """
    _check(kind)
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return sample
    return like(schedule.signal(timesteps), sample) * noise - like(schedule.noise(timesteps), sample) * sample


def sample_and_noise(
    kind: Prediction, prediction: Tensor, noisy: Tensor, timesteps: Tensor, schedule: Schedule
) -> tuple[Tensor, Tensor]:
    """The clean sample and the noise that a prediction stands for.

    Args:
        kind: Of the prediction.
        prediction: The network's, (batch, …).
        noisy: What the network saw, of the same shape.
        timesteps: (batch,).
        schedule: Of the forward process.

    Returns:
        Sample and noise; infinite or not a number where the prediction says nothing of them.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> schedule = Schedule(torch.tensor([0.36]))
        >>> sample, noise = sample_and_noise("epsilon", torch.ones(1, 1), torch.ones(1, 1), torch.tensor([0]), schedule)
        >>> f"{sample.item():.2f} {noise.item():.2f}"
        '0.50 1.00'
    """
    _check(kind)
    signal, level = like(schedule.signal(timesteps), noisy), like(schedule.noise(timesteps), noisy)
    if kind == "epsilon":
        return (noisy - level * prediction) / signal, prediction
    if kind == "sample":
        return prediction, (noisy - signal * prediction) / level
    return signal * noisy - level * prediction, level * noisy + signal * prediction


def convert(
    given: Prediction, wanted: Prediction, prediction: Tensor, noisy: Tensor, timesteps: Tensor, schedule: Schedule
) -> Tensor:
    """One prediction as another.

    Args:
        given: The kind of the prediction.
        wanted: The kind it shall have.
        prediction: (batch, …).
        noisy: What the network saw, of the same shape.
        timesteps: (batch,).
        schedule: Of the forward process.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> schedule = Schedule(torch.tensor([0.36]))
        >>> at = {"noisy": torch.ones(1, 1), "timesteps": torch.tensor([0]), "schedule": schedule}
        >>> velocity = convert("epsilon", "v_prediction", torch.ones(1, 1), **at)
        >>> convert("v_prediction", "epsilon", velocity, **at)
        tensor([[1.]])
    """
    sample, noise = sample_and_noise(given, prediction, noisy, timesteps, schedule)
    return target_of(wanted, sample, noise, timesteps, schedule)


def min_snr_weights(kind: Prediction, schedule: Schedule, gamma: float = 5.0) -> Tensor:
    """Weights of the squared error that make it ``min(SNR, gamma)`` times that of the sample.

    Min-SNR weighting [Hang et al. 2023, arXiv:2303.09556]: the squared error of the sample is 1/SNR times that of the
    noise and 1/(SNR + 1) times that of the velocity.

    Args:
        kind: Of the prediction whose error is weighted.
        schedule: Of the forward process.
        gamma: Where the weight of the sample's error stops to grow.

    Returns:
        One weight for each timestep, (steps,). For ``epsilon`` where no signal is left, the limit 1.

    Raises:
        ValueError: An unknown kind, or a gamma that is not above 0.

    Example:
        >>> schedule = Schedule(torch.tensor([0.1, 0.9]))
        >>> [round(float(weight), 3) for weight in min_snr_weights("epsilon", schedule)]
        [0.556, 1.0]
    """
    _check(kind)
    if gamma <= 0:
        raise ValueError(f"gamma is above 0, not {gamma}\ngamma 应大于 0，而不是 {gamma}")
    snr = schedule.snr()
    weights = snr.clamp(max=gamma)
    if kind == "sample":
        return weights
    if kind == "v_prediction":
        return weights / (snr + 1)
    return torch.where(snr > 0, weights / snr.clamp(min=torch.finfo(snr.dtype).tiny), 1.0)


def diffusion_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    sample: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    schedule: Schedule,
    kind: Prediction = "epsilon",
    weights: Tensor | None = None,
) -> Tensor:
    """Squared error of a prediction, a mean for each sample.

    Args:
        network: Given noisy samples and their timesteps, predicts.
        sample: Clean, (batch, …).
        noise: Standard normal, of the same shape.
        timesteps: (batch,).
        schedule: Of the forward process.
        kind: What the network predicts.
        weights: Of each timestep, (steps,); all 1 if not given.

    Returns:
        (batch,).

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> schedule = Schedule(torch.tensor([0.36]))
        >>> batch = {"sample": torch.zeros(1, 2), "noise": torch.tensor([[1.0, 3.0]]), "timesteps": torch.tensor([0])}
        >>> diffusion_loss(lambda noisy, timesteps: torch.zeros_like(noisy), **batch, schedule=schedule)
        tensor([5.])
    """
    noisy = schedule.add_noise(sample, noise, timesteps)
    error = network(noisy, timesteps) - target_of(kind, sample, noise, timesteps, schedule)
    loss = error.square().flatten(1).mean(1)
    return loss if weights is None else loss * weights.to(loss)[timesteps]


def _check(kind: str) -> None:
    if kind not in get_args(Prediction):
        raise ValueError(
            f"unknown prediction {kind!r}; there are {', '.join(get_args(Prediction))}\n没有名为 {kind!r} 的预测类型"
        )
