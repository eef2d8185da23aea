"""A label for each character: crops to train on, the entities that labels spell, and how many of them are right.

An entity counts as found if its first and last character and its type are right.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from llm_tutorial.data.people_daily import TYPES, Entity

ENTITY_TYPES = tuple(TYPES.values())
Example = TypeVar("Example", bound=NamedTuple)


def crops(examples: Sequence[Example], size: int, length: int, seed: int = 0) -> Callable[[int], list[Example]]:
    """Batches by the number of their step: epoch after epoch, each in an order of its own, cropped at random.

    Documents of at least ``length`` characters make batches without padding.

    Args:
        examples: Documents, each a named tuple of tensors of one length; those shorter than ``length`` are taken as
            they are.
        size: Crops in a batch; fewer documents are one batch.
        length: Characters in a crop.
        seed: Of order and crops.

    Example:
        >>> class Tagged(NamedTuple):
        ...     input_ids: torch.Tensor
        ...     labels: torch.Tensor
        >>> batch = crops([Tagged(torch.arange(9), torch.arange(9))] * 2, 2, 4)(0)
        >>> [len(crop.labels) for crop in batch]
        [4, 4]
    """
    size = min(size, len(examples))
    per_epoch = len(examples) // size

    def batch_at(step: int) -> list[Example]:
        epoch, place = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(examples), generator=generator).tolist()
        generator.manual_seed(1_000_003 * seed + step)
        batch = []
        for number in order[place * size : (place + 1) * size]:
            example = examples[number]
            start = int(torch.randint(max(len(example[0]) - length, 0) + 1, (), generator=generator))
            batch.append(type(example)(*(part[start : start + length] for part in example)))
        return batch

    return batch_at


def count_characters(batch: Sequence[Any]) -> int:
    """Characters that a loss is summed over: those of the ``labels`` of each example."""
    return sum(len(example.labels) for example in batch)


def spans(labels: Sequence[str]) -> set[Entity]:
    """Entities that labels spell, strictly: an ``I-`` that continues nothing of its type is no part of an entity.

    Example:
        >>> sorted(spans(["B-PER", "I-PER", "I-LOC", "O", "B-LOC", "B-LOC"]))
        [Entity(start=0, end=2, type='PER'), Entity(start=4, end=5, type='LOC'), Entity(start=5, end=6, type='LOC')]
    """
    found, start = set(), None
    for place, label in enumerate([*labels, "O"]):
        if start is not None and label != f"I-{labels[start][2:]}":
            found.add(Entity(start, place, labels[start][2:]))
            start = None
        if label.startswith("B-"):
            start = place
    return found


def score(found: Sequence[Iterable[Entity]], gold: Sequence[Iterable[Entity]]) -> dict[str, float]:
    """Precision, recall and F1 over the exact spans of all documents together, and F1 of each type.

    Args:
        found: Entities of each document.
        gold: Those that are there.

    Example:
        >>> gold = [Entity(0, 2, "PER"), Entity(5, 7, "LOC")]
        >>> score([[Entity(0, 2, "PER"), Entity(5, 6, "LOC")]], [gold])
        {'precision': 0.5, 'recall': 0.5, 'f1': 0.5, 'PER': 1.0, 'LOC': 0.0, 'ORG': 0.0}
    """
    ours = {(number, *entity) for number, entities in enumerate(found) for entity in entities}
    theirs = {(number, *entity) for number, entities in enumerate(gold) for entity in entities}

    def f1(of: set, among: set) -> float:
        return 2 * len(of & among) / max(len(of) + len(among), 1)

    by_type = {
        kind: f1({e for e in ours if e[-1] == kind}, {e for e in theirs if e[-1] == kind}) for kind in ENTITY_TYPES
    }
    right = len(ours & theirs)
    return {
        "precision": right / max(len(ours), 1),
        "recall": right / max(len(theirs), 1),
        "f1": f1(ours, theirs),
        **by_type,
    }
