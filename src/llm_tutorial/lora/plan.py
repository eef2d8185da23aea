"""How an interaction matrix is computed: which rows, keys and masks belong to which block.

Rows are the places of all sequences, one sequence after the other, each padded to whole blocks. A block's queries read
its window, which is a view of the keys' rows, and the entities. Both are copied side by side, for a chunk of blocks at a
time, so that the copy stays in the processor's cache.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.lora.attention import NEVER
from llm_tutorial.lora.interaction import InteractionMatrix

CHUNK = 512  # queries at a time on a CPU

_made: WeakKeyDictionary[InteractionMatrix, dict[Any, Any]] = WeakKeyDictionary()


def once(make: Callable[..., Any], matrix: InteractionMatrix, *arguments: Any) -> Any:
    """What is made of a matrix, made once for all layers that read along it."""
    kept = _made.setdefault(matrix, {})
    if (make, arguments) not in kept:
        with torch.inference_mode(False):  # what inference makes first must serve training as well
            kept[make, arguments] = make(matrix, *arguments)
    return kept[make, arguments]


class Chunk(NamedTuple):
    """Blocks that are computed together: some of one sequence, or all of several."""

    sequences: slice
    places: slice  # in each of these sequences
    blocks: slice  # among the blocks of all sequences
    rows: slice  # among the rows of all sequences


class Plan:
    """Positions and masks of a matrix, laid out for blocks.

    Args:
        matrix: Which pairs are kept.
        batch: Sequences.
    """

    def __init__(self, matrix: InteractionMatrix, batch: int) -> None:
        self.batch, self.length = batch, matrix.length
        self.block = 32 if matrix.window is None else matrix.block_size
        self.before = (matrix.window or 0) * self.block
        self.after = 0 if matrix.causal else self.before
        self.width = self.before + self.block + self.after
        self.padded = -(-matrix.length // self.block) * self.block

        none = torch.empty(1, 0, dtype=torch.long, device=matrix.device)
        entities = (none if matrix.entities is None else matrix.entities).expand(batch, -1)
        places, real = entities.clamp(min=0), matrix.is_real.expand(batch, -1)
        starts = torch.arange(batch, device=matrix.device)[:, None] * self.padded
        there = (entities >= 0) & real.gather(1, places)
        self.entities = entities.shape[1]
        self.entity_rows = (starts + places).flatten()
        self.there = there[:, None, :, None]  # (batch, 1, entities, 1)
        self.present = there.flatten().nonzero()[:, 0]  # which of them there are

        pairs = matrix.extra_pairs.expand(batch, -1, -1)
        self.pairs = pairs.shape[1]
        self.related = (pairs[..., 0] >= 0).flatten().nonzero()[:, 0]  # which pairs there are
        self.reader, self.read = (starts[..., None] + pairs).flatten(0, 1)[self.related].unbind(-1)  # their rows
        self.readers, self.reader_index = self.reader.unique(return_inverse=True)

        pad = (0, self.padded - self.length)
        ordinary = F.pad(matrix.is_real & ~matrix.is_entity, pad).expand(batch, -1)
        self.ordinary = ordinary.flatten()[:, None, None]  # rows that attend to a window and to the entities
        self.real = None if matrix.real is None else F.pad(real, pad).flatten()[:, None, None]
        self.dropped = self._dropped(matrix, ordinary, entities, there)
        self.dropped_rows: Tensor | None = None  # keys that an entity does not read, (batch, 1, entities or 1, length)
        if matrix.causal:
            later = torch.arange(self.length, device=matrix.device) > entities[..., None]
            self.dropped_rows = (later | ~real[:, None])[:, None]
        elif matrix.real is not None:
            self.dropped_rows = ~real[:, None, None]

    @property
    def computed(self) -> int:
        """Pairs that the blocks of a sequence compute, kept or not; what entities read is counted."""
        return self.padded * (self.width + self.entities) + self.entities * self.length

    def _dropped(self, matrix: InteractionMatrix, ordinary: Tensor, entities: Tensor, there: Tensor) -> Tensor:
        """Keys that the queries of a block do not read, (batch * blocks, 1, block or 1, width + entities)."""
        window = ~F.pad(ordinary, (self.before, self.after)).unfold(1, self.width, self.block)[:, :, None]
        columns = ~there[:, None, None].expand(-1, window.shape[1], 1, -1)  # (batch, blocks, 1, entities)
        if matrix.causal or matrix.window is None:
            query = torch.arange(self.padded, device=window.device).view(-1, self.block, 1)
            key = query[:, :1] - self.before + torch.arange(self.width, device=window.device)
            window = window | ((key != query) if matrix.window is None else (key > query))
            later = entities[:, None, None] > query
            columns = columns | (later if matrix.causal else torch.zeros_like(later))
        return torch.cat([window, columns], -1).flatten(0, 1)[:, None]

    def chunks(self, device: torch.device) -> Iterator[Chunk]:
        """All blocks, some at a time on a CPU."""
        blocks = self.padded // self.block  # of a sequence
        some = max(CHUNK // self.block, 1) if device.type == "cpu" else self.batch * blocks
        sequences, some = max(some // blocks, 1), min(some, blocks)
        for sequence in range(0, self.batch, sequences):
            end = min(sequence + sequences, self.batch)
            for block in range(0, blocks, some):
                last = min(block + some, blocks)
                these = slice(sequence * blocks + block, (end - 1) * blocks + last)
                places, rows = (slice(x.start * self.block, x.stop * self.block) for x in (slice(block, last), these))
                yield Chunk(slice(sequence, end), places, these, rows)

    def pack(self, x: Tensor) -> Tensor:
        """(batch, heads, length, size) as rows (batch * padded length, heads, size); a view where it can be one."""
        x = x.transpose(1, 2)
        if self.padded > self.length:
            x = F.pad(x, (0, 0, 0, 0, 0, self.padded - self.length))
        return x.flatten(0, 1)

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows as (batch, heads, length, size), a view."""
        return rows.unflatten(0, (self.batch, -1))[:, : self.length].transpose(1, 2)

    def split(self, rows: Tensor) -> Tensor:
        """Rows of whole blocks as (blocks, heads, block, size), a view."""
        return rows.unflatten(0, (-1, self.block)).transpose(1, 2)

    def at_entities(self, rows: Tensor) -> Tensor:
        """Rows of the entities, (batch, heads, entities, size)."""
        return rows[self.entity_rows].unflatten(0, (self.batch, -1)).transpose(1, 2)

    def buffer(self, rows: Tensor) -> Tensor:
        """Room for what the blocks of a chunk read, used again by each chunk."""
        blocks = next(self.chunks(rows.device)).blocks.stop if self.entities else 0
        return rows.new_empty(blocks, self.width + self.entities, *rows.shape[1:])

    def keys(self, rows: Tensor, entities: Tensor, chunk: Chunk, buffer: Tensor) -> Tensor:
        """Keys or values that the blocks of a chunk read, (blocks, heads, width + entities, size).

        Args:
            rows: Keys or values of all places.
            entities: Those of the entities (batch, heads, entities, size).
            chunk: The blocks.
            buffer: Where windows and entities are laid side by side; windows alone stay a view of the rows.
        """
        first, stop = chunk.rows.start - self.before, chunk.rows.stop + self.after
        around = rows[max(first, 0) : stop]
        if first < 0 or stop > len(rows):
            around = F.pad(around, (0, 0, 0, 0, max(-first, 0), max(stop - len(rows), 0)))
        blocks, (row, head, one) = chunk.blocks.stop - chunk.blocks.start, around.stride()
        windows = around.as_strided(
            (blocks, self.width, *rows.shape[1:]), (self.block * row, row, head, one)
        )  # neighbours overlap
        if not self.entities:
            return windows.transpose(1, 2)
        buffer = buffer[:blocks]
        buffer[:, : self.width] = windows
        own = entities[chunk.sequences].transpose(1, 2)  # (sequences, entities, heads, size)
        buffer.unflatten(0, (len(own), -1))[:, :, self.width :] = own[:, None]
        return buffer.transpose(1, 2)

    def fold(self, total: Tensor, entities: Tensor, grad: Tensor, chunk: Chunk) -> None:
        """Adds what a chunk says about its keys, the reverse of ``keys``.

        Args:
            total: Gradients of the rows, with ``before`` more in front and ``after`` more behind.
            entities: Gradients of the entities (batch, heads, entities, size).
            grad: Gradients of the chunk's keys (blocks, heads, width + entities, size).
            chunk: The blocks.
        """
        for start in range(0, self.width, self.block):
            rows = total[chunk.rows.start + start : chunk.rows.stop + start]
            self.split(rows).add_(grad[:, :, start : start + self.block])
        if self.entities:
            own = entities[chunk.sequences]
            own += grad[:, :, self.width :].unflatten(0, (len(own), -1)).sum(1, dtype=own.dtype)

    def bias(self, entity_bias: Tensor | None, chunk: Chunk, dtype: torch.dtype) -> Tensor:
        """What is added to the scores of a chunk, (blocks, heads or 1, block, width + entities), in their precision."""
        dropped = self.dropped[chunk.blocks]
        if entity_bias is None:
            bias = torch.zeros(dropped.shape, dtype=dtype, device=dropped.device).masked_fill_(dropped, NEVER)
            return bias.expand(-1, -1, self.block, -1)
        bias = entity_bias[chunk.sequences, :, chunk.places].to(dtype)
        if missing := chunk.places.stop - chunk.places.start - bias.shape[2]:
            bias = F.pad(bias, (0, 0, 0, missing))
        bias = bias.unflatten(2, (-1, self.block)).transpose(1, 2).flatten(0, 1)  # (blocks, heads, block, entities)
        return F.pad(bias, (self.width, 0)).masked_fill_(dropped, NEVER)

    def bias_grad(self, grads: list[Tensor]) -> Tensor:
        """Gradient of the entities' bias (batch, heads, length, entities) from those of all chunks' scores."""
        grad = torch.cat(grads).unflatten(0, (self.batch, -1))  # (batch, blocks, heads, block, entities)
        return grad.transpose(1, 2).flatten(2, 3)[:, :, : self.length]

    def row_bias(self, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of entities that read tokens, (batch, heads or 1, entities or 1, length)."""
        if self.dropped_rows is None:
            return None if bias is None else bias.to(dtype)
        return torch.where(self.dropped_rows, NEVER, torch.zeros((), dtype=dtype) if bias is None else bias.to(dtype))
