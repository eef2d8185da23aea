"""A mixture of Gaussians: data of which everything is known, before and after noise.

Noise turns a Gaussian into a wider one, nearer to 0, so what is left of a mixture is a mixture again. Its density, its
score and the best guess of the clean point are closed forms, against which whatever a network learned can be held.
"""

import math

import torch
from torch import Tensor


class Mixture:
    """Isotropic Gaussians, each with its weight, centre and width.

    Where ``signal`` and ``noise`` are asked for, the points are ``signal * sample + noise * standard normal``; both are
    numbers, or (batch,) with one for each point. Without them the points are clean.

    Args:
        weights: (components,), positive; they are scaled to a sum of 1.
        centres: (components, dimensions).
        widths: Standard deviations, (components,), positive.

    Raises:
        ValueError: The shapes do not fit, or a weight or a width is not above 0.

    Example:
        >>> two = Mixture(torch.tensor([1.0, 3.0]), torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.5]))
        >>> [round(value, 3) for value in two.score(torch.tensor([[0.0], [1.0]])).flatten().tolist()]
        [2.0, -0.001]
    """

    def __init__(self, weights: Tensor, centres: Tensor, widths: Tensor) -> None:
        if centres.ndim != 2 or weights.shape != widths.shape or weights.shape != centres.shape[:1]:
            raise ValueError(
                "weights (components,), centres (components, dimensions) and widths (components,) do not fit\n"
                "权重 (分量,)、中心 (分量, 维数) 与宽度 (分量,) 的形状不相配"
            )
        if not bool((weights > 0).all() and (widths > 0).all()):
            raise ValueError("weights and widths are above 0\n权重与宽度都应大于 0")
        self.weights, self.centres, self.widths = weights / weights.sum(), centres, widths

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws clean points, (count, dimensions).

        Args:
            count: How many.
            generator: Of the draw.

        Example:
            >>> three_islands().sample(5).shape
            torch.Size([5, 2])
        """
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        spread = torch.randn(count, self.centres.shape[1], generator=generator, dtype=self.centres.dtype)
        return self.centres[which] + self.widths[which, None] * spread

    def mean(self) -> Tensor:
        """Of the clean points, (dimensions,)."""
        return self.weights @ self.centres

    def log_density(self, points: Tensor, signal: float | Tensor = 1.0, noise: float | Tensor = 0.0) -> Tensor:
        """Log of the density, in nats, (batch,).

        Args:
            points: (batch, dimensions).
            signal: What is left of the clean points.
            noise: Standard deviation of the noise.
        """
        return self._of_components(points, signal, noise)[0].logsumexp(1)

    def score(self, points: Tensor, signal: float | Tensor = 1.0, noise: float | Tensor = 0.0) -> Tensor:
        """Gradient of the log density with respect to the points, (batch, dimensions).

        Args:
            points: (batch, dimensions).
            signal: What is left of the clean points.
            noise: Standard deviation of the noise.

        Example:
            >>> islands, points = three_islands(), torch.zeros(1, 2, requires_grad=True)
            >>> islands.log_density(points, 0.8, 0.6).sum().backward()
            >>> bool(torch.allclose(points.grad, islands.score(points, 0.8, 0.6), atol=1e-5))
            True
        """
        log_parts, away, variances = self._of_components(points, signal, noise)
        return (log_parts.softmax(1)[..., None] * -away / variances[..., None]).sum(1)

    def denoise(self, points: Tensor, signal: float | Tensor, noise: float | Tensor) -> Tensor:
        """The mean of the clean points that a noisy one can come from: the guess of least squared error, (batch, dimensions).

        Args:
            points: Noisy, (batch, dimensions).
            signal: What is left of the clean points.
            noise: Standard deviation of the noise.

        Example:
            >>> three_islands().denoise(torch.zeros(1, 2), 0.0, 1.0).allclose(three_islands().mean())
            True
        """
        log_parts, away, variances = self._of_components(points, signal, noise)
        # of one Gaussian: its centre, and of the way from there the part that is not noise
        kept = _column(signal, points) * self.widths**2 / variances  # (batch, components)
        guesses = self.centres + kept[..., None] * away
        return (log_parts.softmax(1)[..., None] * guesses).sum(1)

    def _of_components(
        self, points: Tensor, signal: float | Tensor, noise: float | Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log of weight times density, ways from the centres, and variances: (batch, components[, dimensions])."""
        left, level = _column(signal, points), _column(noise, points)  # (batch or 1, 1)
        away = points[:, None] - left[..., None] * self.centres
        variances = (left * self.widths) ** 2 + level**2
        log_normal = -0.5 * (
            away.square().sum(2) / variances + points.shape[1] * (math.log(2 * math.pi) + variances.log())
        )
        return self.weights.log() + log_normal, away, variances


def three_islands() -> Mixture:
    """The toy of the page on the mathematics: three islands, of unlike size, whose mean is not 0.

    Example:
        >>> [round(value, 2) for value in three_islands().mean().tolist()]
        [0.55, 0.15]
    """
    return Mixture(
        torch.tensor([0.5, 0.3, 0.2]),
        torch.tensor([[1.5, 0.5], [-0.5, 1.0], [-0.25, -2.0]]),
        torch.tensor([0.3, 0.2, 0.15]),
    )


def _column(level: float | Tensor, points: Tensor) -> Tensor:
    """A level as (1, 1), or one for each point as (batch, 1)."""
    return torch.as_tensor(level, dtype=points.dtype, device=points.device).reshape(-1, 1)
