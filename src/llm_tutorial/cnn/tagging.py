"""Dilated convolutions that label every character (Strubell et al., 2017, arXiv:1702.02098)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.text_cnn import UNKNOWN
from llm_tutorial.data.people_daily import LABELS, Document, Entity, bio_labels
from llm_tutorial.precision import widen


class Tagged(NamedTuple):
    """Ids and labels (places in ``LABELS``) of a document's characters."""

    input_ids: Tensor
    labels: Tensor


def tag(documents: Iterable[Document], numbers: dict[str, int]) -> list[Tagged]:
    """Documents as tensors, one number a character.

    Args:
        documents: Of the People's Daily.
        numbers: From ``llm_tutorial.cnn.text_cnn.vocabulary``.

    Example:
        >>> tag([Document("见李鹏", (Entity(1, 3, "PER"),))], {"李": 5})[0].labels
        tensor([0, 1, 2])
    """
    known = {label: number for number, label in enumerate(LABELS)}
    return [
        Tagged(
            torch.tensor([numbers.get(character, UNKNOWN) for character in document.text]),
            torch.tensor([known[label] for label in bio_labels(document)]),
        )
        for document in documents
    ]


class DilatedTagger(nn.Module):
    """A block of dilated convolutions, gone through several times with the same weights; a label for each character.

    Args:
        vocabulary: Characters, padding and unknown among them.
        labels: Labels.
        width: Of the embeddings and of every layer.
        dilations: Of the layers of the block, all with kernels of 3.
        rounds: How often the block is gone through.
        dropout: On the embeddings and before the labels.
        buckets: Into which pairs of neighbouring characters are hashed.

    Example:
        >>> DilatedTagger(100, width=16, buckets=64)(torch.tensor([[5, 6, 7]])).shape
        torch.Size([1, 3, 7])
    """

    def __init__(
        self,
        vocabulary: int,
        labels: int = len(LABELS),
        width: int = 128,
        dilations: Sequence[int] = (1, 2, 4, 1),
        rounds: int = 2,
        dropout: float = 0.1,
        buckets: int = 2**15,
    ) -> None:
        super().__init__()
        self.rounds, self.buckets = rounds, buckets
        self.embedding = nn.Embedding(vocabulary, width)
        self.pair = nn.Embedding(buckets, width // 2)
        for table in (self.embedding, self.pair):
            nn.init.normal_(table.weight, std=0.1)
        self.mix = nn.Linear(width, width, bias=False)
        self.block = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in dilations)
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(width, labels)

    @property
    def field(self) -> int:
        """The characters that one label can depend on, the pairs at both ends included."""
        return 3 + self.rounds * sum(2 * layer.dilation[0] for layer in self.block)  # type: ignore[operator, index, misc]

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits: (batch, length) -> (batch, length, labels).

        Raises:
            ValueError: The text is empty.
        """
        if not input_ids.numel():
            raise ValueError(
                f"nothing to label: ids of the shape {tuple(input_ids.shape)}\n没有可标注的内容：编号的形状为 {tuple(input_ids.shape)}"
            )
        beside = F.pad(input_ids, (1, 1))
        pairs = self.pair((beside[:, :-1] * 73_856_093 ^ beside[:, 1:] * 19_349_663) % self.buckets)
        pairs = self.mix(torch.cat([pairs[:, :-1], pairs[:, 1:]], -1))  # with the character before, and after
        x = self.dropout(self.embedding(input_ids) + pairs).transpose(1, 2)  # (batch, width, length)
        for _ in range(self.rounds):
            for layer in self.block:
                x = x + F.relu(layer(x))
        return self.classifier(self.dropout(x.transpose(1, 2)))


def crops(examples: Sequence[Tagged], size: int, length: int, seed: int) -> Callable[[int], list[Tagged]]:
    """Gives the batch of a step: crops of one length, epoch after epoch, so that no batch has padding.

    Args:
        examples: Documents of at least ``length`` characters.
        size: Crops in a batch.
        length: Characters in a crop.
        seed: Of order and crops.

    Example:
        >>> batch = crops([Tagged(torch.arange(9), torch.arange(9))] * 2, 2, 4, seed=0)(0)
        >>> [len(crop.labels) for crop in batch]
        [4, 4]
    """
    each = len(examples) // size

    def batch_at(step: int) -> list[Tagged]:
        epoch, place = divmod(step, each)
        draw = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(examples), generator=draw).tolist()
        draw.manual_seed(1_000_003 * seed + step)
        batch = []
        for number in order[place * size : (place + 1) * size]:
            ids, labels = examples[number]
            start = int(torch.randint(len(ids) - length + 1, (), generator=draw))
            batch.append(Tagged(ids[start : start + length], labels[start : start + length]))
        return batch

    return batch_at


def tag_loss(model: nn.Module, batch: Sequence[Tagged], device: Any = None) -> Tensor:
    """Summed cross-entropy of the characters, for ``llm_tutorial.training.fit``."""
    ids, labels = (torch.stack(part).to(device) for part in zip(*batch, strict=True))
    return F.cross_entropy(widen(model(ids)).flatten(0, 1), labels.flatten(), reduction="sum")


def count_characters(batch: Sequence[Tagged]) -> int:
    """Characters that the loss is summed over."""
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


@torch.no_grad()
def entities_of(model: nn.Module, examples: Sequence[Tagged]) -> list[set[Entity]]:
    """The entities that a tagger finds in each document; the model is in evaluation afterwards."""
    model.eval()
    return [
        spans([LABELS[number] for number in model(example.input_ids[None])[0].argmax(-1).tolist()])
        for example in examples
    ]


def entity_f1(found: Sequence[Iterable[Entity]], gold: Sequence[Iterable[Entity]]) -> dict[str, float]:
    """F1 over the exact spans and types of all documents together (seqeval's strict mode), and of each type.

    Args:
        found: Entities of each document.
        gold: Those that are there.

    Example:
        >>> gold = [Entity(0, 2, "PER"), Entity(5, 7, "LOC")]
        >>> entity_f1([[Entity(0, 2, "PER"), Entity(5, 6, "LOC")]], [gold])["f1"]
        0.5
    """
    ours = {(number, *entity) for number, entities in enumerate(found) for entity in entities}
    theirs = {(number, *entity) for number, entities in enumerate(gold) for entity in entities}
    scores = {"f1": 2 * len(ours & theirs) / max(len(ours) + len(theirs), 1)}
    for kind in ("PER", "LOC", "ORG"):
        a, b = ({entity for entity in every if entity[-1] == kind} for every in (ours, theirs))
        scores[kind] = 2 * len(a & b) / max(len(a) + len(b), 1)
    return scores
