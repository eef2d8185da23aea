"""Batches of texts of similar length, and the order in which they come."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch


class Encoded(Protocol):
    """An example that has the ids of a text."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Of the text."""


Example = TypeVar("Example", bound=Encoded)


def batches(found: Sequence[Example], size: int, seed: int, pool: int = 16) -> Callable[[int], Sequence[Example]]:
    """Gives the batch of a step: texts of similar length together, in an order that the seed decides.

    Every pass over the data has an order of its own.

    Args:
        found: The training set, each example with its ``input_ids``.
        size: Of a batch; a smaller training set is one batch.
        seed: Of the order.
        pool: Batches' worth of texts that are sorted by length at a time.

    Example:
        >>> from typing import NamedTuple
        >>> class Labelled(NamedTuple):
        ...     input_ids: list[int]
        ...     label: int
        >>> batch_at = batches([Labelled([n], n) for n in range(10)], 5, seed=0)
        >>> sorted(each.label for step in (0, 1) for each in batch_at(step))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    size = min(size, len(found))
    each = len(found) // size

    def order(epoch: int) -> list[list[int]]:
        draw = torch.Generator().manual_seed(1000 * seed + epoch)
        shuffled = torch.randperm(len(found), generator=draw).tolist()
        cut = list[list[int]]()
        for at in range(0, len(shuffled), pool * size):
            near = sorted(shuffled[at : at + pool * size], key=lambda number: len(found[number].input_ids))
            cut += [near[place : place + size] for place in range(0, len(near) - size + 1, size)]
        return [cut[place] for place in torch.randperm(len(cut), generator=draw).tolist()]

    kept: dict[int, list[list[int]]] = {}

    def batch_at(step: int) -> Sequence[Example]:
        epoch, place = divmod(step, each)
        if epoch not in kept:
            kept.clear()
            kept[epoch] = order(epoch)
        return [found[number] for number in kept[epoch][place % len(kept[epoch])]]

    return batch_at
