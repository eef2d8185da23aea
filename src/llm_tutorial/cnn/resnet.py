"""LeNet and a small residual network, every part of which can be left out: for pictures of few classes.

LeCun et al., 1998; He et al., 2015, arXiv:1512.03385 (the networks of its section 4.2). Shortcuts have no weights, so
that a network with and one without them have the same parameters.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "group", "none"]
Start = Literal["kaiming", "default", "small"]


def lenet(classes: int = 10, channels: int = 1) -> nn.Sequential:
    """LeNet-5's sizes, with what took the place of its saturating units: ReLU and max pooling, for pictures of 28 × 28.

    Args:
        classes: What there is to tell apart.
        channels: Of the pictures.

    Example:
        >>> import torch
        >>> model = lenet()
        >>> model(torch.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
        (torch.Size([2, 10]), 61706)
    """
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def norm_of(kind: Norm, channels: int) -> nn.Module:
    """Batch norm (Ioffe and Szegedy, 2015, 1502.03167), group norm (Wu and He, 2018, 1803.08494), or nothing.

    Args:
        kind: Which of the three.
        channels: Of the input.

    Raises:
        ValueError: Another kind.

    Example:
        >>> norm_of("group", 16)
        GroupNorm(4, 16, eps=1e-05, affine=True, bias=True)
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(4, channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(
        f"unknown norm {kind!r}; there are batch, group, none\n没有名为 {kind!r} 的归一化；有的是 batch、group、none"
    )


class ResidualBlock(nn.Module):
    """`relu(x + f(x))`, where `f` is two convolutions of 3 × 3 with norms.

    Args:
        channels: Of the input.
        outputs: Of the output; new channels are zero on the shortcut.
        stride: Of the first convolution; the shortcut takes means of as many places.
        norm: What follows each convolution.
        residual: Whether there is a shortcut.

    Example:
        >>> import torch
        >>> ResidualBlock(8, 16, stride=2)(torch.zeros(1, 8, 28, 28)).shape
        torch.Size([1, 16, 14, 14])
    """

    def __init__(
        self, channels: int, outputs: int, stride: int = 1, norm: Norm = "batch", residual: bool = True
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, padding=1, bias=bias)
        self.norm1 = norm_of(norm, outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.norm2 = norm_of(norm, outputs)
        self.relu2 = nn.ReLU()
        self.stride, self.more, self.residual = stride, outputs - channels, residual

    def shortcut(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs, height / stride, width / stride), without weights."""
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else x

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs, height / stride, width / stride)."""
        y: Tensor = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        if self.residual:
            y = y + self.shortcut(x)
        out: Tensor = self.relu2(y)
        return out


def small_resnet(
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    channels: int = 1,
    classes: int = 10,
    norm: Norm = "batch",
    residual: bool = True,
    start: Start = "kaiming",
    stride: int = 1,
) -> nn.Sequential:
    """A convolution, stages of residual blocks, each at half the resolution of the last, a mean, a linear layer.

    Args:
        widths: Channels of each stage.
        blocks: Of each stage.
        channels: Of the pictures.
        classes: What there is to tell apart.
        norm: ``batch``, ``group`` or ``none``.
        residual: Whether blocks have shortcuts.
        start: How convolutions are drawn at first; see `initialise`.
        stride: Of the first convolution; 2 makes all that follows four times cheaper.

    Example:
        >>> import torch
        >>> model = small_resnet()
        >>> model(torch.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
        (torch.Size([2, 10]), 75002)
    """
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, stride, padding=1, bias=norm == "none"), norm_of(norm, widths[0]), nn.ReLU(),
    ]  # fmt: skip
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(ResidualBlock(before, width, 2 if stage and not block else 1, norm, residual))
            before = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
    initialise(model, start)
    return model


def initialise(model: nn.Module, start: Start) -> None:
    """Draws the weights of all convolutions of a model anew.

    Args:
        model: Its convolutions are changed in place.
        start: ``kaiming``: variance 2 / (inputs of a unit), which keeps the size of signals through ReLUs (He et al.,
            2015, arXiv:1502.01852); ``default``: PyTorch's, a sixth of that; ``small``: standard deviation 0.01.

    Raises:
        ValueError: Another kind.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> layer = nn.Conv2d(64, 64, 3)
        >>> initialise(layer, "kaiming")
        >>> f"{layer.weight.var() * 64 * 9:.1f}"
        '2.0'
    """
    if start not in ("kaiming", "default", "small"):
        raise ValueError(
            f"unknown start {start!r}; there are kaiming, default, small\n没有名为 {start!r} 的初始化；有的是 kaiming、default、small"
        )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and start != "default":
            if start == "kaiming":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
