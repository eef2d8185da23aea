"""Pooling: many places become fewer, or one."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.convolution import Sizes, windows


def max_pool(x: Tensor, kernel: Sizes, stride: Sizes | None = None) -> Tensor:
    """The largest value under each place of the kernel, as `F.max_pool1d` and `F.max_pool2d` give it.

    Args:
        x: (batch, channels, *size).
        kernel: Its sizes.
        stride: Steps from place to place; the kernel's size if left out.

    Returns:
        (batch, channels, *places).

    Example:
        >>> max_pool(torch.tensor([[[1.0, 3.0, 2.0, 0.0, 9.0]]]), 2)
        tensor([[[3., 2.]]])
    """
    return windows(x, kernel, kernel if stride is None else stride).flatten(x.dim()).amax(-1)


def average_pool(x: Tensor, kernel: Sizes, stride: Sizes | None = None) -> Tensor:
    """The mean under each place of the kernel, as `F.avg_pool1d` and `F.avg_pool2d` give it.

    Args:
        x: (batch, channels, *size).
        kernel: Its sizes.
        stride: Steps from place to place; the kernel's size if left out.

    Returns:
        (batch, channels, *places).

    Example:
        >>> average_pool(torch.tensor([[[1.0, 3.0, 2.0, 0.0, 9.0]]]), 2)
        tensor([[[2., 1.]]])
    """
    return windows(x, kernel, kernel if stride is None else stride).flatten(x.dim()).mean(-1)


def k_max_pool(x: Tensor, k: int) -> Tensor:
    """The `k` largest values of each channel, in the order in which they stand (Kalchbrenner et al., 2014, 1404.2188).

    Args:
        x: (batch, channels, length).
        k: How many to keep.

    Returns:
        (batch, channels, k).

    Raises:
        ValueError: There are fewer than `k`.

    Example:
        >>> k_max_pool(torch.tensor([[[1.0, 3.0, 2.0, 0.0, 9.0]]]), 3)
        tensor([[[3., 2., 9.]]])
    """
    if not 1 <= k <= x.shape[-1]:
        raise ValueError(f"the {k} largest of {x.shape[-1]} places\n从 {x.shape[-1]} 个位置里取最大的 {k} 个")
    return x.gather(-1, x.topk(k, dim=-1).indices.sort(dim=-1).values)


class AttentionPool(nn.Module):
    """A mean over all places, weighted by a learned score: `softmax(q · x) x`.

    Args:
        channels: Of the input.

    Example:
        >>> AttentionPool(8)(torch.randn(2, 8, 5, 5)).shape
        torch.Size([2, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(channels))  # at first the plain mean

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, *size) -> (batch, channels)."""
        places = x.flatten(2)  # (batch, channels, place)
        weights = (self.query @ places).softmax(-1)  # (batch, place)
        return (places * weights[:, None]).sum(-1)


class BlurPool(nn.Module):
    """Blurs, then keeps every second place: what is too fine for the new grid is gone before (Zhang, 2019, 1904.11486).

    Args:
        channels: Of the input, (batch, channels, height, width).
        taps: Of the filter along an axis, a row of Pascal's triangle, halved at each tap.
        stride: Steps from place to place.
        padding_mode: `reflect`, or `circular` for pictures that go on at the other edge.

    Example:
        >>> BlurPool(1)(torch.ones(1, 1, 6, 6))
        tensor([[[[1., 1., 1.],
                  [1., 1., 1.],
                  [1., 1., 1.]]]])
    """

    kernel: Tensor

    def __init__(self, channels: int, taps: int = 3, stride: int = 2, padding_mode: str = "reflect") -> None:
        super().__init__()
        if taps < 1 or not taps % 2:
            raise ValueError(
                f"{taps} taps: an odd number, so that the filter has a middle\n{taps} 个系数：应为奇数，滤波器才有中心"
            )
        row = torch.ones(1)
        for _ in range(taps - 1):
            row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
        row = row / row.sum()
        self.register_buffer("kernel", torch.outer(row, row).repeat(channels, 1, 1, 1))
        self.stride, self.padding, self.padding_mode = stride, taps // 2, padding_mode

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, about height / stride, about width / stride)."""
        x = F.pad(x, [self.padding] * 4, mode=self.padding_mode)
        return F.conv2d(x, self.kernel.to(x.dtype), stride=self.stride, groups=len(self.kernel))
