"""The digits of MNIST as tensors, and pictures moved at random: an augmentation."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.data.digits import digits


def digit_tensors(split: str) -> tuple[Tensor, Tensor]:
    """Digits as a model takes them: (picture, 1, 28, 28) from 0 to 1, and labels (picture,).

    Example:
        >>> images, labels = digit_tensors("test")
        >>> images.shape, float(images.max())
        (torch.Size([600, 1, 28, 28]), 1.0)
    """
    images, labels = digits(split)
    return torch.from_numpy(images)[:, None] / 255, torch.from_numpy(labels)


def warped(images: Tensor, kind: str) -> Tensor:
    """Pictures moved at random: what a class does not depend on.

    Args:
        images: (batch, channels, height, width).
        kind: ``none``; ``shift``, by up to two pixels; or ``affine``: shifted, turned by up to 15 degrees, slanted,
            and drawn up to a sixth larger or smaller.

    Raises:
        ValueError: An unknown kind.
    """
    if kind == "none":
        return images
    if kind not in ("shift", "affine"):
        raise ValueError(f"unknown kind {kind!r}; there are none, shift, affine")
    n, side = len(images), images.shape[-1]
    theta = torch.eye(2, 3).repeat(n, 1, 1)
    if kind == "affine":
        angle = (torch.rand(n) * 2 - 1) * math.radians(15)
        scale = 1 + (torch.rand(n, 2) * 2 - 1) / 6
        slant = (torch.rand(n) * 2 - 1) * 0.2
        turn = torch.stack([angle.cos(), -angle.sin() + slant, angle.sin(), angle.cos()], -1).view(n, 2, 2)
        theta[:, :, :2] = turn * scale[:, None]
    theta[:, :, 2] = torch.randint(-2, 3, (n, 2)) * 2 / side
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
