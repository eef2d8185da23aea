"""How far samples are from data: by slices, by the two first moments of features, and by a density that is known."""

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from llm_tutorial.diffusion.mixture import Mixture


def sliced_wasserstein(one: Tensor, other: Tensor, slices: int = 64, seed: int = 0) -> float:
    """Mean distance by which sorted shadows of two sets of points differ, over directions [Bonneel et al. 2015].

    The root mean square way of the cheapest transport between the projections on a line, and the root of its mean
    square over lines.

    Args:
        one: (points, dimensions).
        other: Of the same shape.
        slices: Directions.
        seed: Of the directions; in the plane they are evenly spread.

    Raises:
        ValueError: The sets differ in shape or hold nothing, or numbers are not finite.

    Example:
        >>> square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> round(sliced_wasserstein(square, square + torch.tensor([1.0, 0.0])), 4)  # a shift by 1, seen from all sides
        0.7071
    """
    _check(one, other)
    if one.shape != other.shape:
        raise ValueError(
            f"as many points of each, not {tuple(one.shape)} and {tuple(other.shape)}\n"
            f"两边的点数与维数应相同，而不是 {tuple(one.shape)} 与 {tuple(other.shape)}"
        )
    dimensions = one.shape[1]
    if dimensions == 2:
        angles = torch.arange(slices, dtype=one.dtype) * math.pi / slices
        directions = torch.stack([angles.cos(), angles.sin()])
    else:
        directions = torch.randn(dimensions, slices, generator=torch.Generator().manual_seed(seed), dtype=one.dtype)
        directions = directions / directions.norm(dim=0)
    shadows = (one @ directions).sort(0).values - (other @ directions).sort(0).values
    return shadows.square().mean().sqrt().item()


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Squared Wasserstein distance of two Gaussians with the means and covariances of two sets of features.

    With features of an Inception network it is the FID [Heusel et al. 2017, arXiv:1706.08500].

    Args:
        one: Features, (samples, dimensions).
        other: Features, (samples, dimensions); the numbers of samples may differ.

    Raises:
        ValueError: Fewer than two samples of one, dimensions that differ, or numbers that are not finite.

    Example:
        >>> points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
        >>> round(frechet_distance(points, points + 3), 4), round(frechet_distance(points, 2 * points - 1), 4)
        (18.0, 2.6667)
    """
    _check(one, other)
    if one.shape[1] != other.shape[1] or min(len(one), len(other)) < 2:
        raise ValueError(
            f"at least two samples with as many features each, not {tuple(one.shape)} and {tuple(other.shape)}\n"
            f"每边至少两个样本，特征数相同，而不是 {tuple(one.shape)} 与 {tuple(other.shape)}"
        )
    one, other = one.double(), other.double()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    spread, spread_other = one.T.cov(), other.T.cov()
    root = _root(spread)
    # the trace of the root of a product is the sum of roots of its eigenvalues, which are those of a symmetric matrix
    shared = torch.linalg.eigvalsh(root @ spread_other @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float(apart + spread.trace() + spread_other.trace() - 2 * shared))


def kl_to_density(points: Tensor, data: Mixture, neighbours: int = 5) -> float:
    """KL divergence of points from a known density, in nats: minus their entropy, less their mean log density.

    The entropy is estimated from the distance of each point to a near neighbour [Kraskov et al. 2004], so the
    result scatters around the truth, and of samples of the data themselves around 0. Points on a grid, such as those
    in half precision, look denser than they are.

    Args:
        points: (points, dimensions), no two alike.
        data: The density.
        neighbours: Which one counts, from 1: a further one scatters less and blurs more.

    Raises:
        ValueError: No more points than neighbours, or numbers that are not finite.

    Example:
        >>> normal = Mixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> points = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> abs(kl_to_density(points, normal)) < 0.05, abs(kl_to_density(points + torch.tensor([1.0, 0]), normal) - 0.5) < 0.05
        (True, True)
    """
    _check(points, points)
    count, dimensions = points.shape
    if not 1 <= neighbours < count:
        raise ValueError(
            f"from 1 to {count - 1} neighbours of {count} points, not {neighbours}\n"
            f"{count} 个点的近邻数应在 1 到 {count - 1} 之间，而不是 {neighbours}"
        )
    places = points.double().numpy()
    away = cKDTree(places).query(places, k=neighbours + 1)[0][:, -1]  # the first is the point itself
    ball = math.pi ** (dimensions / 2) / math.gamma(dimensions / 2 + 1)
    entropy = (
        dimensions * float(np.log(np.maximum(away, 1e-300)).mean())
        + math.log(ball)
        + float(digamma(count) - digamma(neighbours))
    )
    return -entropy - data.log_density(points).mean().item()


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def _check(one: Tensor, other: Tensor) -> None:
    for points in (one, other):
        if points.ndim != 2 or not len(points) or not bool(points.isfinite().all()):
            bad = int((~points.isfinite()).sum())
            raise ValueError(
                f"a set of points, (points, dimensions), of finite numbers; this one is {tuple(points.shape)} with "
                f"{bad} that are not finite\n"
                f"点集的形状应为 (点数, 维数)，而且都是有限的数；这里是 {tuple(points.shape)}，其中 {bad} 个不是有限的数"
            )
