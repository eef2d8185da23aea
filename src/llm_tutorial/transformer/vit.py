"""A vision Transformer: the block of chapter `transformer` over patches of a picture, and a CNN to set beside it.

Dosovitskiy et al., 2020, arXiv:2010.11929. The weights of `ViTModel` fit in under other names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.digits import digit_tensors
from llm_tutorial.state_dicts import renamed
from llm_tutorial.transformer.block import Block, BlockConfig, norm

VIT = (
    (r"^(vit\.)?pooler\..*", ""),  # a head of its own
    (r"^vit\.", ""),
    (r"^embeddings\.patch_embeddings\.projection", "patches"),
    (r"^embeddings\.cls_token", "cls"),
    (r"^embeddings\.position_embeddings", "positions"),
    (r"^layernorm", "last_norm"),
    (r"^classifier", "head"),
    (r"^layers", "blocks"),
    (r"attention\.q_proj", "attention.query"),
    (r"attention\.k_proj", "attention.key"),
    (r"attention\.v_proj", "attention.value"),
    (r"attention\.o_proj", "attention.output"),
    (r"layernorm_before", "attention_norm"),
    (r"layernorm_after", "feed_forward_norm"),
    (r"mlp\.fc1", "feed_forward.up"),
    (r"mlp\.fc2", "feed_forward.down"),
)
"""Rules for the names of `ViTModel` and `ViTForImageClassification`, as `llm_tutorial.transformer.names` applies them."""


@dataclass(frozen=True)
class VisionConfig:
    """The sizes of a vision Transformer.

    Attributes:
        side: Height and width of a picture, in pixels.
        patch: Height and width of a patch.
        channels: 1 for grey pictures, 3 for colours.
        width: Length of the vector of each patch.
        layers: Blocks.
        heads: Of attention, in each block.
        feed_forward: Width between the linear layers of the feed-forward part.
        classes: What there is to tell apart.
        pooling: What the classifier reads: the state of the CLS token, or the mean of the patches' states.
        initializer_range: Standard deviation of the first weights. Transformers' 0.02 suits a width of 768; with
            1/√width, as here, what a linear layer gives is as large as what it takes.
    """

    side: int = 28
    patch: int = 7
    channels: int = 1
    width: int = 64
    layers: int = 4
    heads: int = 4
    feed_forward: int = 128
    classes: int = 10
    pooling: Literal["cls", "mean"] = "cls"
    initializer_range: float = 0.125

    def __post_init__(self) -> None:
        if self.side % self.patch:
            raise ValueError(
                f"patches of {self.patch} pixels do not divide a picture of {self.side}\n"
                f"边长 {self.side} 的图片分不成边长 {self.patch} 的图块"
            )

    @property
    def block(self) -> BlockConfig:
        """The same in the words of the one block: norms first, learned positions, nothing hidden."""
        return BlockConfig(
            0, self.width, self.layers, self.heads, self.heads, self.feed_forward, causal=False, norm_first=True,
            epsilon=1e-12,
        )  # fmt: skip


class VisionTransformer(nn.Module):
    """Patches, a CLS token and positions, blocks, a norm, a linear classifier.

    Args:
        config: Sizes.

    Example:
        >>> VisionTransformer(VisionConfig())(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        count = (config.side // config.patch) ** 2
        self.patches = nn.Conv2d(config.channels, config.width, config.patch, stride=config.patch)
        self.cls = nn.Parameter(torch.empty(1, 1, config.width))
        self.positions = nn.Parameter(torch.empty(1, 1 + count, config.width))
        self.blocks = nn.ModuleList(Block(config.block) for _ in range(config.layers))
        self.last_norm = norm(config.block)
        self.head = nn.Linear(config.width, config.classes)
        for tensor in (p for p in self.parameters() if p.dim() > 1):
            nn.init.trunc_normal_(tensor, std=config.initializer_range, a=-1, b=1)

    def embed(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 1 + patches, width); positions are interpolated if need be.

        Raises:
            ValueError: Patches do not divide the pictures, or the channels are others.
        """
        channels, *size = images.shape[1:]
        if channels != self.config.channels or any(side % self.config.patch for side in size):
            raise ValueError(
                f"pictures of shape {tuple(images.shape[1:])}: expected {self.config.channels} channels "
                f"and sides that {self.config.patch} divides\n"
                f"图片的形状是 {tuple(images.shape[1:])}：应当有 {self.config.channels} 个通道，边长是 {self.config.patch} 的倍数"
            )
        x = self.patches(images)  # (batch, width, rows, columns)
        positions = resized(self.positions, (x.shape[2], x.shape[3]))
        x = torch.cat([self.cls.expand(len(x), -1, -1), x.flatten(2).mT], 1)
        return x + positions

    def states(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 1 + patches, width), after the last norm."""
        x = self.embed(images)
        n = x.shape[1]
        everything = torch.ones(1, 1, n, n, dtype=torch.bool, device=x.device)
        places = torch.arange(n, device=x.device)[None]
        for block in self.blocks:
            x = block(x, everything, places)
        states: Tensor = self.last_norm(x)
        return states

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, classes)."""
        states = self.states(images)
        logits: Tensor = self.head(states[:, 0] if self.config.pooling == "cls" else states[:, 1:].mean(1))
        return logits


def resized(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Positions of a square grid for a grid of another size: those of patches by bicubic interpolation.

    Args:
        positions: The first is that of CLS, (1, 1 + old patches, width).
        grid: New rows and columns.

    Example:
        >>> resized(torch.zeros(1, 1 + 16, 8), (6, 6)).shape
        torch.Size([1, 37, 8])
    """
    side = math.isqrt(positions.shape[1] - 1)
    if grid == (side, side):
        return positions
    old = positions[:, 1:].mT.unflatten(2, (side, side))  # (1, width, rows, columns)
    new = F.interpolate(old, grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], new.flatten(2).mT], 1)


def own_vit(model: Any) -> VisionTransformer:
    """Our own model with the weights of a `ViTModel` or `ViTForImageClassification`, in evaluation mode.

    Args:
        model: Of Transformers.

    Raises:
        ValueError: Another kind of model, or a choice that the block does not have.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> vit = ViTForImageClassification(ViTConfig(num_hidden_layers=1, image_size=32)).eval()
        >>> image = torch.rand(1, 3, 32, 32)
        >>> bool(torch.allclose(own_vit(vit)(image), vit(image).logits, atol=1e-5))
        True
    """
    config = model.config
    if config.model_type != "vit" or config.hidden_act != "gelu" or not config.qkv_bias:
        raise ValueError(
            f"not a ViT with GELU and biases: {config.model_type!r}\n不是用 GELU、带偏置的 ViT：{config.model_type!r}"
        )
    own = VisionTransformer(
        VisionConfig(
            config.image_size, config.patch_size, config.num_channels, config.hidden_size, config.num_hidden_layers,
            config.num_attention_heads, config.intermediate_size, config.num_labels,
        )
    )  # fmt: skip
    state: Mapping[str, Tensor] = renamed(model.state_dict(), VIT)
    own.load_state_dict(state, strict="head.weight" in state)
    return own.eval()


def convolutional(
    widths: tuple[int, ...] = (9, 18, 36),
    channels: int = 1,
    classes: int = 10,
    dilations: tuple[int, ...] | None = None,
) -> nn.Sequential:
    """A plain CNN: two convolutions of 3 × 3 a stage with batch norm, each stage at half the resolution of the last.

    Args:
        widths: Channels of each stage.
        channels: Of the pictures.
        classes: What there is to tell apart.
        dilations: Of each stage's kernels. If given, the resolution stays, and these alone say how far a unit sees.

    Example:
        >>> convolutional()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    layers: list[nn.Module] = []
    for stage, width in enumerate(widths):
        d = dilations[stage] if dilations else 1
        for _ in range(2):
            layers += [
                nn.Conv2d(channels, width, 3, padding=d, dilation=d, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        if not dilations and stage + 1 < len(widths):
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


SMALL, APART = 8, 20  # side of a digit in a pair; the column at which the right one begins


def pairs(split: str, count: int = 0) -> tuple[Tensor, Tensor]:
    """Two small digits, one at the left edge and one at the right: do they stand at the same height?

    Real digits of MNIST, drawn at 8 × 8 pixels with 12 empty columns between. Which digits they are says nothing, and
    neither does the height of either: each is uniform in both classes. Heights that differ do so by at least 4 pixels.

    Args:
        split: Digits of which split; ``train``, ``validation`` or ``test``.
        count: How many pictures; 8,000 for training and 1,000 else if left out.

    Returns:
        Pictures (picture, 1, 28, 28), and 1 where the height is the same, (picture,).

    Example:
        >>> images, labels = pairs("test", 8)
        >>> images.shape, set(labels.tolist()) <= {0, 1}
        (torch.Size([8, 1, 28, 28]), True)
    """
    digit, _ = digit_tensors(split)
    small = F.interpolate(digit, (SMALL, SMALL), mode="area")[:, 0]
    count = count or (8000 if split == "train" else 1000)
    generator = torch.Generator().manual_seed(len(digit))
    which = torch.randint(len(small), (2, count), generator=generator)
    labels = torch.randint(2, (count,), generator=generator)
    heights = 28 - SMALL + 1
    left = torch.randint(heights, (count,), generator=generator)
    step = torch.randint(4, heights - 3, (count,), generator=generator)  # round a ring, so both ends count alike
    right = torch.where(labels == 1, left, (left + step) % heights)
    images = torch.zeros(count, 28, 28)
    picture, pixels = torch.arange(count)[:, None, None], torch.arange(SMALL)
    for row, column, digit_of in ((left, 0, which[0]), (right, APART, which[1])):
        images[picture, (row[:, None] + pixels)[:, :, None], column + pixels] = small[digit_of]
    return images[:, None], labels
