"""A linear layer with a low-rank adapter beside it.

Sources: LoRA, Hu et al. 2021 (arXiv:2106.09685); rsLoRA, Kalajdzievski 2023 (arXiv:2312.03732);
DoRA, Liu et al. 2024 (arXiv:2402.09353).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def check_adapter(in_features: int, out_features: int, rank: int, alpha: float | None, dropout: float) -> None:
    """Raises an error that says what is wrong with an adapter for a weight (out_features, in_features).

    Raises:
        ValueError: A rank, alpha or dropout out of range.

    Example:
        >>> check_adapter(6, 4, rank=5, alpha=None, dropout=0)
        Traceback (most recent call last):
        ValueError: rank must be a whole number from 1 to 4, the smaller side of this 4x6 weight; got 5
    """
    largest = min(in_features, out_features)
    if not (isinstance(rank, int) and 1 <= rank <= largest):
        raise ValueError(
            f"rank must be a whole number from 1 to {largest}, the smaller side of this "
            f"{out_features}x{in_features} weight; got {rank!r}"
        )
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be a positive number; got {alpha!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1; got {dropout!r}")


class LoRALinear(nn.Module):
    r"""Computes ``x W^T + b + scaling * x A^T B^T`` and trains only ``A`` and ``B``.

    The pretrained weight ``W`` (out_features, in_features) is frozen. ``lora_A`` (rank, in_features)
    starts random and ``lora_B`` (out_features, rank) starts at zero, so that the first output is that
    of the pretrained layer, and the first gradient of ``lora_B`` is not zero.

    Args:
        base: The pretrained layer: an ``nn.Linear`` or anything with ``weight``, ``in_features`` and
            ``out_features`` that computes one.
        rank: Rank of the update, from 1 to ``min(in_features, out_features)``.
        alpha: Numerator of the scaling; ``rank`` if not given, which makes the scaling 1.
        dropout: Probability of dropping an input feature of the adapter while training.
        use_rslora: Scale by ``alpha / sqrt(rank)`` instead of ``alpha / rank``.
        use_dora: Learn the length of each output feature's weight vector apart from its direction.

    Raises:
        ValueError: A rank, alpha or dropout out of range.

    Example:
        >>> layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=4)
        >>> layer(torch.ones(3, 6)).shape
        torch.Size([3, 4])
        >>> sum(p.numel() for p in layer.parameters() if p.requires_grad)  # 2 * 6 + 4 * 2
        20
    """

    def __init__(
        self,
        base: Any,  # an nn.Module; Any, since what it must have is said above
        rank: int = 8,
        alpha: float | None = None,
        dropout: float = 0.0,
        use_rslora: bool = False,
        use_dora: bool = False,
    ) -> None:
        super().__init__()
        in_features, out_features = int(base.in_features), int(base.out_features)
        check_adapter(in_features, out_features, rank, alpha, dropout)
        alpha = rank if alpha is None else alpha
        self.base: Any = base.requires_grad_(False)
        self.in_features, self.out_features = in_features, out_features
        self.rank, self.alpha, self.use_rslora = rank, alpha, use_rslora
        self.scaling = alpha / (math.sqrt(rank) if use_rslora else rank)
        self.dropout = nn.Dropout(dropout)
        device = next(base.buffers() if next(base.parameters(), None) is None else base.parameters()).device
        self.lora_A = nn.Parameter(torch.empty(rank, in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as nn.Linear: entries within 1/sqrt(in_features)
        self.lora_magnitude = nn.Parameter(self.weight.norm(dim=1)) if use_dora else None  # (out_features,)
        self.merged = False
        self._unmerged: list[nn.Parameter] = []
        self.start: tuple[nn.Parameter, Tensor, Tensor] | None = None  # PiSSA: pretrained weight, first A, first B
        self.train(base.training)  # no dropout in a model that is in evaluation mode

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LoRALinear":
        # what is kept outside the parameters follows .to() as well
        for kept in self._unmerged + ([self.start[0]] if self.start else []):
            kept.data = fn(kept.data)
        if self.start:
            self.start = self.start[0], fn(self.start[1]), fn(self.start[2])
        return super()._apply(fn, recurse)

    @property
    def weight(self) -> Tensor:
        """The pretrained weight, (out_features, in_features); merged layers hold the adapted one."""
        return self.base.weight

    def delta_weight(self) -> Tensor:
        """The low-rank update ``scaling * B A``, (out_features, in_features)."""
        return self.scaling * self.lora_B @ self.lora_A

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        output = self.base(x)
        if self.merged:
            return output
        dropped = self.dropout(x).to(self.lora_A.dtype)  # the adapter stays float32 beside a 16-bit weight
        update = F.linear(F.linear(dropped, self.lora_A), self.scaling * self.lora_B).to(output.dtype)
        if self.lora_magnitude is None:
            return output + update
        bias = getattr(self.base, "bias", None)
        bias = 0 if bias is None else bias.to(output.dtype)
        return (output - bias + update) * self._dora_scale().to(output.dtype) + bias

    def _dora_scale(self) -> Tensor:
        # the norm is a constant in the backward pass: DoRA, section 4.3
        norm = (self.weight + self.delta_weight()).norm(dim=1).detach()
        # a weight of zero has no direction: plain LoRA until the update gives it one
        return torch.where(norm == 0, 1, self.lora_magnitude / norm.where(norm != 0, 1))

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """The adapted weight, (out_features, in_features), that one plain linear layer needs."""
        adapted = self.weight + self.delta_weight()
        return adapted if self.lora_magnitude is None else adapted * self._dora_scale()[:, None]

    def merge(self) -> None:
        """Puts the adapted weight in place of the pretrained one, so that the adapter costs nothing.

        Raises:
            ValueError: It is merged already, or the weight is packed in 4 bits and cannot hold the sum.
        """
        if self.merged:
            raise ValueError("this layer is merged already; unmerge() it first")
        if not isinstance(self.base.weight, nn.Parameter):
            raise ValueError("a packed 4-bit weight cannot hold the update; dequantize_model() first, then merge")
        # A new parameter, not a changed one: unmerge restores the old one bit by bit (subtracting would round), and
        # an embedding that is tied to it stays as it is. The list keeps it out of the module's own parameters.
        self._unmerged = [self.base.weight]
        self.base.weight = nn.Parameter(self.merged_weight().to(self.base.weight.dtype), requires_grad=False)
        self.merged = True

    def unmerge(self) -> None:
        """Restores the pretrained weight exactly."""
        if not self.merged:
            raise ValueError("this layer is not merged")
        self.base.weight = self._unmerged.pop()
        self.merged = False

    def extra_repr(self) -> str:
        """What ``print`` shows of the adapter."""
        return f"rank={self.rank}, alpha={self.alpha}, scaling={self.scaling:g}"
