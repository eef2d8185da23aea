"""Small CNNs on digits, with three ways to halve the resolution, and what a shift of the picture does to them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.pooling import BlurPool

Halving = Literal["stride", "max", "blur"]


def halving(kind: Halving, channels: int) -> nn.Module:
    """Half the resolution: by dropping every second place, by a maximum over 2 × 2, or by that maximum blurred first.

    The last is Zhang's (2019, arXiv:1904.11486): the maximum at every place, then `BlurPool`.

    Args:
        kind: Which of the three.
        channels: Of the input.

    Raises:
        ValueError: Another kind.

    Example:
        >>> [halving(kind, 4)(torch.zeros(1, 4, 28, 28)).shape[-1] for kind in ("stride", "max", "blur")]
        [14, 14, 14]
    """
    if kind == "stride":
        return nn.MaxPool2d(1, 2)
    if kind == "max":
        return nn.MaxPool2d(2)
    if kind == "blur":
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1), BlurPool(channels))
    raise ValueError(f"unknown kind {kind!r}; there are stride, max, blur")


def digit_cnn(kind: Halving, widths: Sequence[int] = (16, 32, 64)) -> nn.Sequential:
    """Three convolutions with batch norm, the resolution halved between them, then a mean over all places.

    Args:
        kind: How the resolution is halved.
        widths: Channels of the convolutions.

    Example:
        >>> digit_cnn("max")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    layers: list[nn.Module] = []
    for before, width in zip((1, *widths), widths, strict=False):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            halving(kind, width),
        ]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Pictures moved by whole pixels, zeros coming in.

    Args:
        images: (batch, channels, height, width).
        down: Rows.
        right: Columns.

    Example:
        >>> shifted(torch.arange(4.0).view(1, 1, 2, 2), 0, 1)
        tensor([[[[0., 0.],
                  [0., 2.]]]])
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    return padded[..., max(-down, 0) : max(-down, 0) + height, max(-right, 0) : max(-right, 0) + width]


@torch.no_grad()
def agreement(model: nn.Module, images: Tensor, pixels: int) -> float:
    """How often a model says of a shifted picture what it says of the picture, over shifts up, down, left and right.

    Args:
        model: Gives (batch, classes).
        images: (batch, channels, height, width).
        pixels: How far.

    Returns:
        A share from 0 to 1.

    Example:
        >>> agreement(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.rand(5, 1, 28, 28), 0)
        1.0
    """
    said = model(images).argmax(-1)
    ways = ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels))
    same = [(model(shifted(images, *way)).argmax(-1) == said).double().mean() for way in ways]
    return float(sum(same) / len(ways))
