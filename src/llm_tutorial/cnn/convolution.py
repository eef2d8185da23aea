"""Convolution three ways, its gradients and its transpose, for signals and for pictures.

Shapes are PyTorch's: an input is (batch, channels, length) or (batch, channels, height, width), a weight (outputs,
channels / groups, kernel…). What deep learning calls a convolution is a cross-correlation: the kernel is not turned
round. The arithmetic of sizes is that of Dumoulin and Visin, 2016, arXiv:1603.07285.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

Sizes = int | Sequence[int]


def per_axis(sizes: Sizes, axes: int) -> tuple[int, ...]:
    """One size for each axis.

    Example:
        >>> per_axis(3, 2), per_axis((1, 5), 2)
        ((3, 3), (1, 5))
    """
    every = (sizes,) * axes if isinstance(sizes, int) else tuple(sizes)
    if len(every) != axes:
        raise ValueError(f"{len(every)} sizes {every} for {axes} axes\n{axes} 个轴却给了 {len(every)} 个大小 {every}")
    return every


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How many places a kernel has along an axis: `⌊(n + 2p - d(k - 1) - 1) / s⌋ + 1`.

    Args:
        size: Length of the input, n.
        kernel: k.
        stride: s.
        padding: Zeros at either end, p.
        dilation: Distance of neighbouring entries of the kernel, d.

    Raises:
        ValueError: The kernel does not fit, or a number is too small; the message gives the sizes.

    Example:
        >>> output_size(28, 3, stride=2, padding=1), output_size(28, 5)
        (14, 24)
    """
    if min(kernel, stride, dilation) < 1 or padding < 0:
        raise ValueError(
            f"kernel {kernel}, stride {stride}, dilation {dilation} must be at least 1, padding {padding} at least 0\n"
            f"卷积核 {kernel}、步幅 {stride}、扩张率 {dilation} 至少是 1，填充 {padding} 至少是 0"
        )
    span = dilation * (kernel - 1) + 1
    if size + 2 * padding < span:
        raise ValueError(
            f"a kernel of {kernel} with dilation {dilation} spans {span}, but the padded input has only "
            f"{size + 2 * padding} ({size} and {padding} at either end)\n"
            f"卷积核 {kernel} 在扩张率 {dilation} 下跨 {span} 格，填充后的输入只有 {size + 2 * padding} 格"
            f"（本身 {size}，两端各填 {padding}）"
        )
    return (size + 2 * padding - span) // stride + 1


def windows(x: Tensor, kernel: Sizes, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1) -> Tensor:
    """All that a kernel is laid on, place by place, without copying: im2col before it becomes columns.

    Args:
        x: (batch, channels, *size).
        kernel: Its sizes.
        stride: Steps from place to place.
        padding: Zeros at either end of each axis.
        dilation: Distance of neighbouring entries of the kernel.

    Returns:
        (batch, channels, *places, *kernel).

    Raises:
        ValueError: Sizes that do not fit; the message gives them.

    Example:
        >>> windows(torch.arange(5.0).view(1, 1, 5), 3, stride=2)
        tensor([[[[0., 1., 2.],
                  [2., 3., 4.]]]])
    """
    axes = x.dim() - 2
    kernel, stride, padding, dilation = (per_axis(sizes, axes) for sizes in (kernel, stride, padding, dilation))
    for axis in range(axes):
        output_size(x.shape[2 + axis], kernel[axis], stride[axis], padding[axis], dilation[axis])
    if any(padding):
        x = F.pad(x, [amount for amount in reversed(padding) for _ in range(2)])
    for axis in range(axes):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        x = x.unfold(2 + axis, span, stride[axis])[..., :: dilation[axis]]
    return x


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution as one matrix product for each group of channels: what `F.conv1d` and `F.conv2d` give.

    Args:
        x: (batch, channels, *size), one axis or two.
        weight: (outputs, channels / groups, *kernel).
        bias: (outputs,).
        stride: Steps from place to place.
        padding: Zeros at either end of each axis.
        dilation: Distance of neighbouring entries of the kernel.
        groups: Parts of the channels that are convolved apart; as many as channels is a depthwise convolution.

    Returns:
        (batch, outputs, *places).

    Raises:
        ValueError: Sizes that do not fit; the message gives them.

    Example:
        >>> x, weight = torch.randn(2, 4, 9, 9), torch.randn(6, 2, 3, 3)
        >>> ours = convolve(x, weight, stride=2, padding=1, groups=2)
        >>> torch.allclose(ours, F.conv2d(x, weight, stride=2, padding=1, groups=2), atol=1e-5)
        True
    """
    check(x, weight, groups)
    seen = windows(x, weight.shape[2:], stride, padding, dilation)  # (batch, channels, *places, *kernel)
    places = seen.shape[2 : x.dim()]
    columns = seen.flatten(2, x.dim() - 1).flatten(3)  # (batch, channels, place, entry)
    columns = columns.unflatten(1, (groups, -1)).transpose(2, 3).flatten(3)  # (batch, group, place, channel · entry)
    rows = weight.flatten(1).unflatten(0, (groups, -1))  # (group, output, channel · entry)
    y = (rows @ columns.mT).flatten(1, 2)  # (batch, outputs, place)
    if bias is not None:
        y = y + bias[:, None]
    return y.unflatten(2, places)


def convolve_fourier(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution through the Fourier transform, where it is a product: stride 1, no padding.

    Args:
        x: (batch, channels, *size).
        weight: (outputs, channels, *kernel).

    Returns:
        (batch, outputs, *places), as `convolve` gives it up to rounding.

    Example:
        >>> x, weight = torch.randn(1, 3, 20, 20), torch.randn(2, 3, 5, 5)
        >>> torch.allclose(convolve_fourier(x, weight), convolve(x, weight), atol=1e-4)
        True
    """
    check(x, weight, 1)
    size, axes = x.shape[2:], tuple(range(2, x.dim()))
    spectrum = torch.fft.rfftn(x, dim=axes)  # (batch, channels, *frequencies)
    kernel = torch.fft.rfftn(weight, size, dim=axes).conj()  # conj: the kernel is not turned round
    product = torch.einsum("bc...,oc...->bo...", spectrum, kernel)
    y = torch.fft.irfftn(product, size, dim=axes)  # what wraps round the edge is cut off
    for axis, (length, entries) in enumerate(zip(size, weight.shape[2:], strict=True), 2):
        y = y.narrow(axis, 0, output_size(length, entries))
    return y


def convolve_transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0
) -> Tensor:
    """Transposed convolution: zeros between the inputs, then a convolution with the kernel turned round.

    It is what `convolve` does to gradients, and what `F.conv_transpose1d` and `F.conv_transpose2d` compute.

    Args:
        x: (batch, inputs, *size).
        weight: (inputs, outputs, *kernel), as PyTorch has it.
        bias: (outputs,).
        stride: That of the convolution it transposes.
        padding: That of the convolution it transposes.

    Returns:
        (batch, outputs, *size'), with `(n - 1) s + k - 2p` along an axis.

    Raises:
        ValueError: Sizes that do not fit; the message gives them.

    Example:
        >>> x, weight = torch.randn(1, 3, 5, 5), torch.randn(3, 2, 4, 4)
        >>> theirs = F.conv_transpose2d(x, weight, stride=2, padding=1)
        >>> torch.allclose(convolve_transposed(x, weight, stride=2, padding=1), theirs, atol=1e-5)
        True
    """
    axes = x.dim() - 2
    check(x, weight.transpose(0, 1), 1)
    stride, padding = per_axis(stride, axes), per_axis(padding, axes)
    stretched = x.new_zeros(*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], stride, strict=True)))
    stretched[(slice(None), slice(None), *(slice(None, None, s) for s in stride))] = x
    turned = weight.transpose(0, 1).flip(list(range(2, weight.dim())))  # (outputs, inputs, *kernel)
    borders = [k - 1 - p for k, p in zip(weight.shape[2:], padding, strict=True)]
    if min(borders) < 0:
        raise ValueError(
            f"padding {padding} of a kernel of {tuple(weight.shape[2:])}: at most one less than the kernel\n"
            f"卷积核 {tuple(weight.shape[2:])} 的填充是 {padding}：最多比卷积核小 1"
        )
    return convolve(stretched, turned, bias, padding=borders)


def gradients(
    x: Tensor, weight: Tensor, output_gradient: Tensor, stride: int = 1, padding: int = 0
) -> tuple[Tensor, Tensor]:
    """Gradients of a convolution, each a convolution again.

    Args:
        x: (batch, channels, *size).
        weight: (outputs, channels, *kernel).
        output_gradient: Of the loss with regard to the output, (batch, outputs, *places).
        stride: Of the convolution.
        padding: Of the convolution.

    Returns:
        Gradients with regard to `x` and to `weight`.

    Example:
        >>> x, weight = torch.randn(2, 3, 9, requires_grad=True), torch.randn(4, 3, 3, requires_grad=True)
        >>> y = convolve(x, weight, stride=2, padding=1)
        >>> y.sum().backward()
        >>> of_x, of_weight = gradients(x.detach(), weight.detach(), torch.ones_like(y), stride=2, padding=1)
        >>> torch.allclose(of_x, x.grad, atol=1e-5), torch.allclose(of_weight, weight.grad, atol=1e-5)
        (True, True)
    """
    of_x = convolve_transposed(output_gradient, weight, stride=stride)  # of the padded input, as far as strides reached
    unseen = [n + 2 * padding - m for n, m in zip(x.shape[2:], of_x.shape[2:], strict=True)]
    of_x = F.pad(of_x, [amount for n in reversed(unseen) for amount in (-padding, n - padding)])  # less the padding
    # channels take the place of the batch, and steps between outputs become gaps in a kernel
    of_weight = convolve(x.transpose(0, 1), output_gradient.transpose(0, 1), padding=padding, dilation=stride)
    return of_x, of_weight.transpose(0, 1)[tuple(map(slice, weight.shape))]


def check(x: Tensor, weight: Tensor, groups: int) -> None:
    """Refuses an input and a weight that do not go together.

    Args:
        x: (batch, channels, *size).
        weight: (outputs, channels / groups, *kernel).
        groups: Parts of the channels.

    Raises:
        ValueError: The message gives the sizes.

    Example:
        >>> check(torch.zeros(1, 3, 8, 8), torch.zeros(4, 1, 3, 3), 1)
        Traceback (most recent call last):
        ValueError: the input has 3 channels, the weight wants 1 × 1 groups = 1
        输入有 3 个通道，权重要的是 1 × 1 组 = 1 个
    """
    if x.dim() != weight.dim() or x.dim() not in (3, 4):
        raise ValueError(
            f"input {tuple(x.shape)} and weight {tuple(weight.shape)}: both need a batch or outputs, channels, and one "
            f"or two axes\n输入 {tuple(x.shape)}、权重 {tuple(weight.shape)}：两者都要有批次（输出）、通道，以及一个或两个轴"
        )
    if prod(x.shape) == 0:
        raise ValueError(f"the input is empty: {tuple(x.shape)}\n输入是空的：{tuple(x.shape)}")
    if groups < 1 or weight.shape[0] % groups or x.shape[1] % groups:
        raise ValueError(
            f"{groups} groups do not divide {x.shape[1]} channels and {weight.shape[0]} outputs\n"
            f"{x.shape[1]} 个通道、{weight.shape[0]} 个输出不能平分成 {groups} 组"
        )
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"the input has {x.shape[1]} channels, the weight wants {weight.shape[1]} × {groups} groups = "
            f"{weight.shape[1] * groups}\n"
            f"输入有 {x.shape[1]} 个通道，权重要的是 {weight.shape[1]} × {groups} 组 = {weight.shape[1] * groups} 个"
        )
