"""Dilated convolutions that label every character (Strubell et al., 2017, arXiv:1702.02098)."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.text_cnn import UNKNOWN
from llm_tutorial.data.people_daily import LABELS, Document, Entity, bio_labels
from llm_tutorial.precision import widen
from llm_tutorial.tagging import spans


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


def tag_loss(model: nn.Module, batch: Sequence[Tagged], device: Any = None) -> Tensor:
    """Summed cross-entropy of the characters, for ``llm_tutorial.training.fit``."""
    ids, labels = (torch.stack(part).to(device) for part in zip(*batch, strict=True))
    return F.cross_entropy(widen(model(ids)).flatten(0, 1), labels.flatten(), reduction="sum")


@torch.no_grad()
def entities_of(model: nn.Module, examples: Sequence[Tagged]) -> list[set[Entity]]:
    """The entities that a tagger finds in each document; the model is in evaluation afterwards."""
    model.eval()
    return [
        spans([LABELS[number] for number in model(example.input_ids[None])[0].argmax(-1).tolist()])
        for example in examples
    ]
