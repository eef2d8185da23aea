"""Low-rank adapters for convolutions, and a pretrained CNN that is taught other classes."""

import re
from collections import OrderedDict

import torch
from torch import Tensor, nn

from llm_tutorial.cnn.efficientnet import HEAD, load_efficientnet
from llm_tutorial.cnn.features import Probe

POINTWISE = r"(expand|project|head)\.conv"


class LowRankConv2d(nn.Module):
    """A frozen convolution and a low-rank change of it: k × k to `rank` channels, then 1 × 1 to all.

    Hu et al., 2021, arXiv:2106.09685, for convolutions as in PEFT's `Conv2d`.

    Args:
        base: What is adapted; without groups.
        rank: Channels in the middle.
        alpha: The change counts `alpha / rank` times.

    Raises:
        ValueError: A convolution with groups, or a rank below 1.

    Example:
        >>> layer = LowRankConv2d(nn.Conv2d(16, 96, 1), rank=4)
        >>> x = torch.rand(2, 16, 8, 8)
        >>> torch.equal(layer(x), layer.base(x)), sum(p.numel() for p in layer.parameters() if p.requires_grad)
        (True, 448)
    """

    def __init__(self, base: nn.Conv2d, rank: int = 8, alpha: float = 16) -> None:
        super().__init__()
        if base.groups > 1 or rank < 1:
            raise ValueError(
                f"{base.groups} groups and rank {rank}: expected a convolution without groups and a rank of at least 1\n"
                f"分组数 {base.groups}，秩 {rank}：应当是不分组的卷积，秩至少为 1"
            )
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        kwargs = {"stride": base.stride, "padding": base.padding, "dilation": base.dilation, "bias": False}
        self.down = nn.Conv2d(base.in_channels, rank, base.kernel_size, **kwargs)  # type: ignore[arg-type]
        self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)  # so that it starts as the base

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> what the base gives, and the change."""
        y: Tensor = self.base(x) + self.scale * self.up(self.down(x))
        return y

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """One plain convolution that gives the same."""
        self.base.weight += self.scale * torch.einsum("orhw,rikl->oikl", self.up.weight, self.down.weight)
        return self.base


def add_adapters(model: nn.Module, pattern: str = POINTWISE, rank: int = 8, alpha: float = 16) -> nn.Module:
    """Freezes a model and wraps the convolutions whose names end as the pattern says.

    Args:
        model: Changed in place.
        pattern: A regular expression.
        rank: Of each adapter.
        alpha: Of each adapter.

    Raises:
        ValueError: No convolution has such a name.

    Example:
        >>> from llm_tutorial.cnn.efficientnet import efficientnet_lite
        >>> model = add_adapters(efficientnet_lite(classes=9))
        >>> sum(isinstance(module, LowRankConv2d) for module in model.modules())
        32
    """
    model.requires_grad_(False)
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and re.search(rf"(^|\.){pattern}$", name)
    ]
    if not names:
        raise ValueError(f"no convolution's name ends in {pattern!r}\n没有卷积的名字以 {pattern!r} 结尾")
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, LowRankConv2d(model.get_submodule(name), rank, alpha))  # type: ignore[arg-type]
    return model


class StoredNorms(nn.Sequential):
    """Layers whose batch norms keep their stored means and spreads in training too: it stays in evaluation mode.

    Example:
        >>> StoredNorms(nn.BatchNorm2d(3)).train().training
        False
    """

    def train(self, mode: bool = True) -> "StoredNorms":
        """Evaluation mode, whatever is asked."""
        return super().train(False)


def probed_network(probe: Probe) -> StoredNorms:
    """EfficientNet-Lite0 with a probe on its last features as its classifier.

    Args:
        probe: Fitted to features of layer ``head``.

    Example:
        >>> probe = Probe(torch.zeros(HEAD), torch.ones(HEAD), torch.zeros(9, HEAD), torch.arange(9.0), 1.0)
        >>> probed_network(probe)(torch.zeros(1, 3, 64, 64)).argmax().item()
        8
    """
    model = load_efficientnet()
    linear = nn.Linear(HEAD, len(probe.bias))
    with torch.no_grad():
        linear.weight.copy_(probe.weight / probe.scale)
        linear.bias.copy_(probe.bias - (probe.weight / probe.scale) @ probe.mean)
    model.classifier = linear
    return StoredNorms(OrderedDict(model.named_children()))
