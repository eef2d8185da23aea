"""The interaction matrix: which pairs of tokens may attend to each other.

Three kinds of pairs, in any combination: a local *window* of blocks, key *entities* (tokens that all others read and
that read all others), and *related pairs* (two mentions that belong together, however far apart). A token always sees
itself. What is kept is stored as positions, never as an ``n × n`` matrix, unless one is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

DROPPED, WINDOW, ENTITY, RELATED = range(4)


@dataclass(frozen=True, eq=False)
class InteractionMatrix:
    """The pairs (query, key) that attention computes; all others are dropped.

    Args:
        length: Tokens in a sequence, ``n``; any number.
        block_size: Tokens in a block of the window.
        window: Blocks that a token sees to each side of its own; ``None`` for no window.
        entities: Positions (batch, entities), -1 where there is none. Every token reads them and they read every token.
        pairs: Related pairs (batch, pairs, 2) of a query's and a key's position, -1 where there is none.
        real: (batch, length), False at padding; padding neither reads nor is read.
        causal: Nobody reads what comes later.
        device: Where the matrix is; where its tensors are if not given.

    Raises:
        ValueError: A length or block that is no positive number, a position outside the sequence, an entity named twice,
            more entities than tokens, or tensors of other shapes.

    Example:
        >>> matrix = InteractionMatrix(length=6, block_size=2, window=0, entities=torch.tensor([[3]]))
        >>> matrix.mask()[0].int()
        tensor([[1, 1, 0, 1, 0, 0],
                [1, 1, 0, 1, 0, 0],
                [0, 0, 1, 1, 0, 0],
                [1, 1, 1, 1, 1, 1],
                [0, 0, 0, 1, 1, 1],
                [0, 0, 0, 1, 1, 1]], dtype=torch.int32)
        >>> matrix.count(), f"{matrix.share:.2f}"
        (20, '0.56')
    """

    length: int
    block_size: int = 64
    window: int | None = 1
    entities: Tensor | None = None
    pairs: Tensor | None = None
    real: Tensor | None = None
    causal: bool = False
    device: torch.device | None = None

    def __post_init__(self) -> None:
        if self.length < 1 or self.block_size < 1:
            raise ValueError(f"length and block_size must be at least 1; got {self.length} and {self.block_size}")
        if self.window is not None and self.window < 0:
            raise ValueError(f"window counts the blocks to each side: 0 or more, or None; got {self.window}")
        for name, shape in (("entities", ("batch", "entities")), ("pairs", ("batch", "pairs", 2))):
            positions = getattr(self, name)
            if positions is None:
                continue
            if positions.ndim != len(shape) or (name == "pairs" and positions.shape[-1] != 2):
                raise ValueError(f"{name} must have the shape {shape}; got {tuple(positions.shape)}")
            if positions.numel() and not -1 <= int(positions.min()) <= int(positions.max()) < self.length:
                raise ValueError(
                    f"{name} has positions from {int(positions.min())} to {int(positions.max())}; "
                    f"they must be in 0 … {self.length - 1}, or -1 for none"
                )
        if self.real is not None and (self.real.ndim != 2 or self.real.shape[1] != self.length):
            raise ValueError(f"real must have the shape (batch, {self.length}); got {tuple(self.real.shape)}")
        sizes = {part.shape[0] for part in (self.entities, self.pairs, self.real) if part is not None}
        if len(sizes) > 1:
            raise ValueError(f"entities, pairs and real belong to batches of different sizes: {sorted(sizes)}")
        if self.entities is not None:
            if self.entities.shape[1] > self.length:
                raise ValueError(f"{self.entities.shape[1]} entities among {self.length} tokens")
            ordered = self.entities.sort(-1).values
            if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
                raise ValueError("the same position twice among the entities of a sequence")
        if self.device is None:
            parts = (self.entities, self.pairs, self.real)
            device = next((part.device for part in parts if part is not None), torch.device("cpu"))
            object.__setattr__(self, "device", device)

    @property
    def batch(self) -> int:
        """Sequences that the matrix describes; 1 where all are alike."""
        parts = (self.entities, self.pairs, self.real)
        return next((part.shape[0] for part in parts if part is not None), 1)

    @cached_property
    def is_entity(self) -> Tensor:
        """(batch, length), True at entities."""
        flags = torch.zeros(self.batch, self.length + 1, dtype=torch.bool, device=self.device)
        if self.entities is not None:
            flags.scatter_(1, self.entities.where(self.entities >= 0, self.length), True)
        return flags[:, : self.length] & self.is_real

    @cached_property
    def is_real(self) -> Tensor:
        """(batch, length), False at padding."""
        if self.real is not None:
            return self.real.bool()
        return torch.ones(self.batch, self.length, dtype=torch.bool, device=self.device)

    @cached_property
    def extra_pairs(self) -> Tensor:
        """Related pairs (batch, pairs, 2) that neither the window nor an entity keeps already; -1 for the others."""
        if self.pairs is None:
            return torch.empty(self.batch, 0, 2, dtype=torch.long, device=self.device)
        query, key = self.pairs.unbind(-1)  # (batch, pairs)
        kept = (query >= 0) & (key >= 0) & (query != key)
        at = (query.clamp(min=0), key.clamp(min=0))
        kept &= ~self.is_entity.gather(1, at[0]) & ~self.is_entity.gather(1, at[1])
        kept &= self.is_real.gather(1, at[0]) & self.is_real.gather(1, at[1])
        if self.window is not None:
            kept &= (query // self.block_size - key // self.block_size).abs() > self.window
        if self.causal:
            kept &= key <= query
        code = torch.where(kept, at[0] * self.length + at[1], -1)  # each pair once
        ordered, order = code.sort(dim=1, stable=True)
        first = torch.ones_like(kept)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        kept &= torch.zeros_like(kept).scatter(1, order, first)
        return self.pairs.where(kept[..., None], -1)

    def kinds(self) -> Tensor:
        """Why each pair is kept, (batch, length, length): DROPPED, WINDOW, ENTITY or RELATED; of size ``n²``."""
        places = torch.arange(self.length, device=self.device)
        apart = places[:, None] - places  # (query, key)
        window = apart == 0
        if self.window is not None:
            blocks = places // self.block_size
            window = (blocks[:, None] - blocks).abs() <= self.window
        kinds = (window * WINDOW).expand(self.batch, -1, -1).clone()
        sequence, pair = (self.extra_pairs[..., 0] >= 0).nonzero(as_tuple=True)
        query, key = self.extra_pairs[sequence, pair].unbind(-1)
        kinds[sequence, query, key] = RELATED
        entity = self.is_entity[:, :, None] | self.is_entity[:, None, :]
        kinds[entity] = ENTITY
        allowed = self.is_real[:, :, None] & self.is_real[:, None, :]
        if self.causal:
            allowed = allowed & (apart >= 0)
        return kinds * allowed

    def mask(self) -> Tensor:
        """True where a pair is kept, (batch, length, length): for dense attention, as a reference; of size ``n²``."""
        return self.kinds() != DROPPED

    def count(self) -> int:
        """How many pairs are kept in the batch, counted without building the matrix.

        Example:
            >>> InteractionMatrix(length=8192, entities=torch.arange(0, 8192, 256)[None]).count()
            2075808
        """
        real, entity = self.is_real.long(), self.is_entity.long()
        tokens = real - entity
        local = tokens.sum() if self.window is None else (tokens * self._in_window(tokens)).sum()
        if self.causal:
            seen = torch.cumsum(real, 1)
            through = (entity * seen).sum() + (tokens * torch.cumsum(entity, 1)).sum()
        else:
            total = real.sum(1, keepdim=True)
            through = (entity * total).sum() + (tokens * entity.sum(1, keepdim=True)).sum()
        related = (self.extra_pairs[..., 0] >= 0).sum()
        return int(local + through + related)

    def _in_window(self, tokens: Tensor) -> Tensor:
        """Ordinary tokens in the window of each place (batch, length); up to the place itself where causal."""
        assert self.window is not None
        blocks = F.pad(tokens, (0, -self.length % self.block_size)).unflatten(1, (-1, self.block_size))
        after = 0 if self.causal else self.window
        around = F.pad(blocks.sum(-1), (self.window, after)).unfold(1, self.window + 1 + after, 1).sum(-1)
        seen = around[:, :, None].expand_as(blocks)
        if self.causal:
            seen = seen - blocks.sum(-1, keepdim=True) + blocks.cumsum(-1)
        return seen.flatten(1)[:, : self.length]

    @property
    def share(self) -> float:
        """Kept pairs over all pairs of real tokens (those not later, where causal)."""
        real = self.is_real.sum(1)
        every = real * (real + 1) // 2 if self.causal else real * real
        return self.count() / max(int(every.sum()), 1)

    def mask_mod(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """The matrix as FlexAttention wants it: a function of batch, head, query and key (related pairs left out)."""
        entity, real = self.is_entity, self.is_real

        def keeps(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            near = query == key
            if self.window is not None:
                near = (query // self.block_size - key // self.block_size).abs() <= self.window
            kept = near | entity[batch, query] | entity[batch, key]
            kept = kept & real[batch, query] & real[batch, key]
            return kept & (query >= key) if self.causal else kept

        return keeps

    def block_mask(self, block_size: int = 128) -> Any:
        """The matrix as a FlexAttention ``BlockMask``.

        Args:
            block_size: Of FlexAttention's blocks; it computes every block that holds a kept pair.

        Raises:
            ValueError: There are related pairs, which have no such form.

        Example:
            >>> print(InteractionMatrix(length=512, window=0).block_mask(128).sparsity())
            75.0
        """
        from torch.nn.attention.flex_attention import create_block_mask

        if (self.extra_pairs >= 0).any():
            raise ValueError("FlexAttention has blocks only; a matrix with related pairs cannot become a BlockMask")
        return create_block_mask(
            self.mask_mod(), self.batch, None, self.length, self.length, self.device, BLOCK_SIZE=block_size
        )

    def draw(self, axes: Any, sequence: int = 0) -> Any:
        """Draws the matrix on Matplotlib axes, one colour for each kind of pair.

        Args:
            axes: Where to draw; queries from top to bottom, keys from left to right.
            sequence: Of the batch.

        Returns:
            The image.
        """
        from matplotlib.colors import ListedColormap

        colours = ListedColormap(["#00000000", "#7d8590", "#e69f00", "#0072b2"])
        image = axes.imshow(self.kinds()[sequence].cpu(), cmap=colours, vmin=0, vmax=3, interpolation="nearest")
        axes.set(xlabel="key", ylabel="query")
        axes.grid(visible=False)
        return image
