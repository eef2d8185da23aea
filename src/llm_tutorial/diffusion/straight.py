"""The straight path between data and noise, its loss, and how it is the path of a schedule with another clock.

A point on it is ``(1 - f) * sample + f * noise``, where ``f`` is the share of noise, from 0 to 1. Its velocity is
``noise - sample``. With the levels ``s`` and ``n`` of a schedule, ``s * sample + n * noise`` lies on the same path once
it is divided by ``s + n``, and there ``f = n / (s + n)``.
"""

import torch
from torch import Tensor

from llm_tutorial.diffusion.flow import FlowNetwork
from llm_tutorial.diffusion.losses import Prediction, sample_and_noise
from llm_tutorial.diffusion.mixture import Mixture
from llm_tutorial.diffusion.sampling import Network
from llm_tutorial.diffusion.schedule import Schedule, like


def on_line(sample: Tensor, noise: Tensor, fraction: Tensor) -> Tensor:
    """Points on the straight lines between samples and noise.

    Args:
        sample: Clean, (batch, …).
        noise: Standard normal, of the same shape.
        fraction: Share of noise, (batch,).

    Example:
        >>> on_line(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([0.25]))
        tensor([[0.2500, 0.5000]])
    """
    share = like(fraction, sample)
    return (1 - share) * sample + share * noise


def flow_loss(network: FlowNetwork, sample: Tensor, noise: Tensor, fraction: Tensor) -> Tensor:
    """Flow matching: squared error of the velocity, a mean for each sample [Lipman et al. 2022, arXiv:2210.02747].

    Args:
        network: Given noisy samples and their shares of noise, predicts noise less sample.
        sample: Clean, (batch, …).
        noise: Standard normal, of the same shape.
        fraction: Share of noise, (batch,).

    Returns:
        (batch,).

    Example:
        >>> batch = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]), torch.tensor([0.5])
        >>> flow_loss(lambda z, fraction: torch.zeros_like(z), *batch)
        tensor([5.])
    """
    error = network(on_line(sample, noise, fraction), fraction) - (noise - sample)
    return error.square().flatten(1).mean(1)


def logit_normal(count: int, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Shares of noise whose logits are normal, (count,): most in the middle [Esser et al. 2024, arXiv:2403.03206].

    Args:
        count: How many.
        mean: Of the logits; above 0 there is more noise.
        std: Of the logits.
        generator: Of the draw.

    Example:
        >>> drawn = logit_normal(10_000, generator=torch.Generator().manual_seed(0))
        >>> print(f"{((drawn > 0.27) & (drawn < 0.73)).float().mean():.1f}")
        0.7
    """
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator))


def fractions_of(schedule: Schedule) -> Tensor:
    """The share of noise at every timestep of a schedule, (steps,), in float64.

    Example:
        >>> fractions_of(Schedule(torch.tensor([0.36, 1.0]))).numpy().round(4).tolist()
        [0.4286, 1.0]
    """
    signal, noise = schedule.alphas_cumprod.sqrt(), (1 - schedule.alphas_cumprod).sqrt()
    return noise / (signal + noise)


def as_flow(
    kind: Prediction, prediction: Tensor, noisy: Tensor, timesteps: Tensor, schedule: Schedule
) -> tuple[Tensor, Tensor, Tensor]:
    """What a prediction on a schedule says on the straight path.

    Args:
        kind: Of the prediction.
        prediction: The network's, (batch, …).
        noisy: What it saw, of the same shape.
        timesteps: (batch,).
        schedule: Of the forward process.

    Returns:
        The noisy sample on the straight path, its share of noise, (batch,), and the velocity there.

    Raises:
        ValueError: An unknown kind.

    Example:
        >>> schedule = Schedule(torch.tensor([0.36]))
        >>> z, f, u = as_flow("epsilon", torch.ones(1, 1), torch.ones(1, 1), torch.tensor([0]), schedule)
        >>> f"{z.item():.3f} {f.item():.3f} {u.item():.3f}"
        '0.714 0.429 0.500'
    """
    sample, noise = sample_and_noise(kind, prediction, noisy, timesteps, schedule)
    total = schedule.signal(timesteps) + schedule.noise(timesteps)
    return noisy / like(total, noisy), schedule.noise(timesteps) / total, noise - sample


def flow_network(network: Network, schedule: Schedule) -> FlowNetwork:
    """A network that was trained to predict the velocity of a schedule, as one of the straight path.

    Shares of noise below that of the first timestep it does not know; there it is asked for its first timestep.

    Args:
        network: Given noisy samples and timesteps, which need not be whole, predicts ``v_prediction``.
        schedule: Of its training.

    Returns:
        Given noisy samples and shares of noise, () or (batch,), predicts noise less sample.

    Example:
        >>> from llm_tutorial.diffusion.mixture import three_islands
        >>> from llm_tutorial.diffusion.sampling import perfect_network
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> schedule, points = make_schedule(), torch.ones(1, 2)
        >>> ours = flow_network(perfect_network(three_islands(), schedule, "v_prediction"), schedule)
        >>> fraction = fractions_of(schedule)[500]
        >>> bool(ours(points, fraction).allclose(perfect_velocity(three_islands())(points, fraction), atol=1e-5))
        True
    """
    known = fractions_of(schedule)

    def velocity(z: Tensor, fraction: Tensor) -> Tensor:
        timestep = place_of(fraction.double(), known)
        share = like(fraction.reshape(-1), z)
        level = ((1 - share).square() + share.square()).sqrt()  # 1 / (s + n), since s² + n² = 1
        signal, noise = (1 - share) / level, share / level
        noisy = z / level
        whole = timestep.round()
        near = bool((timestep - whole).abs().max() < 1e-6)
        v = network(noisy, whole.long() if near else timestep.to(z.dtype))
        return (noise - signal) * noisy + (signal + noise) * v  # noise less sample

    return velocity


def place_of(values: Tensor, rising: Tensor) -> Tensor:
    """Where values lie in a rising row, counted from 0, with parts of a stride; ends where they are beyond it.

    Example:
        >>> place_of(torch.tensor([0.0, 2.0, 4.5, 9.0]), torch.tensor([1.0, 3.0, 6.0]))
        tensor([0.0000, 0.5000, 1.5000, 2.0000])
    """
    right = torch.searchsorted(rising, values.contiguous()).clamp(1, len(rising) - 1)
    below, above = rising[right - 1], rising[right]
    return (right - 1 + (values - below) / (above - below)).clamp(0, len(rising) - 1)


def perfect_velocity(data: Mixture) -> FlowNetwork:
    """A network that knows the data: the mean velocity of all lines through a point.

    Args:
        data: Whose points it makes.

    Example:
        >>> velocity = perfect_velocity(Mixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1)))
        >>> velocity(torch.ones(1, 1), torch.tensor(0.5))  # data and noise are alike: nothing is to be done
        tensor([[0.]])
    """

    def velocity(z: Tensor, fraction: Tensor) -> Tensor:
        share = like(fraction.reshape(-1), z.double())
        known = share.clamp(min=1e-6)  # at 0 the limit
        guess = data.denoise(z.double(), 1 - known, known)
        return ((z - guess) / known).to(z.dtype)

    return velocity
