"""A convolutional network as a handful of choices, so that one can be changed and the rest kept.

The same choices build a network for signals (one axis) and for pictures (two axes); `within` makes two designs fair by
giving both one budget of parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from llm_tutorial.cnn.digits import Halving, halving
from llm_tutorial.cnn.pooling import AttentionPool

Pool = Literal["mean", "max", "attention", "flatten", "none"]
POOLS = ("mean", "max", "attention", "flatten", "none")


@dataclass(frozen=True)
class Design:
    """What there is to choose.

    Attributes:
        widths: Channels of each stage; the resolution is halved between stages.
        layers: Convolutions of a stage.
        kernel: Places that a convolution spans along an axis, if it is not dilated.
        dilations: Of the layers of a stage, one after the other; one number for all.
        separable: A depthwise convolution and a 1 × 1 in place of each full one, but for the first of the network.
        stem: Stride of the first convolution.
        first: Kernel of the first convolution; that of the others where left out.
        halving: How the resolution is halved: ``max``, ``stride`` or ``blur`` (pictures only).
        pooling: How places become one vector before the linear layer: ``mean``, ``max``, ``attention``, or ``flatten``
            (all places side by side); ``none`` gives an answer at every place.
    """

    widths: tuple[int, ...] = (8, 16, 32)
    layers: int = 1
    kernel: int = 3
    dilations: tuple[int, ...] = (1,)
    separable: bool = False
    stem: int = 1
    first: int | None = None
    halving: Halving = "max"
    pooling: Pool = "mean"

    def build(self, shape: Sequence[int], outputs: int) -> nn.Sequential:
        """The network: convolutions with batch norm and ReLU, then the pooling and a linear layer.

        Args:
            shape: Of an input without the batch: (channels, length) or (channels, height, width).
            outputs: Classes.

        Raises:
            ValueError: Another pooling, an even kernel, no stage, or no layer.

        Example:
            >>> Design().build((1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape
            torch.Size([2, 10])
            >>> Design((4,), layers=2, pooling="none").build((1, 64), 2)(torch.zeros(3, 1, 64)).shape
            torch.Size([3, 2, 64])
        """
        if self.pooling not in POOLS:
            raise ValueError(
                f"unknown pooling {self.pooling!r}; there are {', '.join(POOLS)}\n"
                f"没有名为 {self.pooling!r} 的池化；有的是 {'、'.join(POOLS)}"
            )
        kernels = self.kernel, self.kernel if self.first is None else self.first
        if not all(kernel % 2 for kernel in kernels) or not self.widths or self.layers < 1:
            raise ValueError(
                f"kernels {kernels}, {len(self.widths)} stages of {self.layers} layers: kernels must be odd, and "
                "there must be a stage and a layer\n"
                f"卷积核 {kernels}，{len(self.widths)} 个阶段，每阶段 {self.layers} 层：卷积核应为奇数，至少一个阶段、一层"
            )
        axes, before, layers = len(shape) - 1, shape[0], list[nn.Module]()
        for stage, width in enumerate(self.widths):
            if stage:
                layers.append(_halved(self.halving, before, axes))
            for layer in range(self.layers):
                dilation = self.dilations[layer % len(self.dilations)]
                kernel, stride = (self.kernel, 1) if layers else (kernels[1], self.stem)
                separable = self.separable and bool(layers)
                layers += _convolution(axes, before, width, kernel, dilation, stride, separable)
                layers += [(nn.BatchNorm1d, nn.BatchNorm2d)[axes - 1](width), nn.ReLU()]
                before = width
        return nn.Sequential(*layers, *_head(self.pooling, axes, before, outputs, layers, shape))


def within(design: Design, budget: int, shape: Sequence[int], outputs: int) -> Design:
    """The design with all widths scaled by one factor, as large as the budget of parameters allows.

    Args:
        design: Its widths give the proportions.
        budget: Parameters at most.
        shape: Of an input without the batch.
        outputs: Classes.

    Raises:
        ValueError: Even the narrowest network has more.

    Example:
        >>> full, cheap = (within(Design(separable=s), 8_000, (1, 28, 28), 10) for s in (False, True))
        >>> full.widths, cheap.widths
        ((9, 18, 36), (24, 48, 97))
    """
    found = None
    for step in range(1, 64 * max(design.widths)):
        scaled = replace(design, widths=tuple(max(round(w * step / max(design.widths)), 1) for w in design.widths))
        if parameters(scaled.build(shape, outputs)) > budget:
            break
        found = scaled
    if found is None:
        raise ValueError(f"no width fits into {budget} parameters\n{budget} 个参数容不下任何宽度")
    return found


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns.

    Example:
        >>> parameters(nn.Linear(3, 2))
        8
    """
    return sum(p.numel() for p in model.parameters())


def _convolution(
    axes: int, before: int, width: int, kernel: int, dilation: int, stride: int, separable: bool
) -> list[nn.Module]:
    make: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if axes == 1 else nn.Conv2d
    padding = dilation * (kernel - 1) // 2
    if not separable:
        return [make(before, width, kernel, stride, padding, dilation, bias=False)]
    return [
        make(before, before, kernel, stride, padding, dilation, groups=before, bias=False),
        make(before, width, 1, bias=False),
    ]


def _halved(kind: Halving, channels: int, axes: int) -> nn.Module:
    if axes == 2:
        return halving(kind, channels)
    if kind == "blur":
        raise ValueError(
            "blur pooling is for pictures; for a signal take max or stride\n模糊池化只用于图片；信号请用 max 或 stride"
        )
    return nn.MaxPool1d(2) if kind == "max" else nn.MaxPool1d(1, 2)


def _head(
    pooling: Pool, axes: int, channels: int, outputs: int, layers: Sequence[nn.Module], shape: Sequence[int]
) -> list[nn.Module]:
    if pooling == "none":
        return [nn.Conv1d(channels, outputs, 1) if axes == 1 else nn.Conv2d(channels, outputs, 1)]
    if pooling == "attention":
        return [AttentionPool(channels), nn.Linear(channels, outputs)]
    if pooling == "flatten":
        body = nn.Sequential(*layers).eval()
        with torch.no_grad():
            features = body(torch.zeros(1, *shape)).numel()
        body.train()
        return [nn.Flatten(), nn.Linear(features, outputs)]
    kinds = {"mean": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), "max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)}
    return [kinds[pooling][axes - 1](1), nn.Flatten(), nn.Linear(channels, outputs)]
