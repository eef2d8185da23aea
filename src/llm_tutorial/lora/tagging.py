"""Names in the People's Daily: characters in, a label for each out.

A document is read character by character. What is trained on are crops of one length, so that no batch has padding;
what is tested on are whole documents.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from llm_tutorial.data.people_daily import LABELS, Document, bio_labels
from llm_tutorial.lora.encoder import BigramEmbedding, RelationSparseConfig, TaskOutput
from llm_tutorial.precision import widen
from llm_tutorial.tagging import ENTITY_TYPES, score, spans

SENTENCE_ENDS = "。！？\n"
TITLES = (
    *("记者", "主席", "总统", "总理", "部长", "主任", "书记", "外长", "经理", "大使", "局长", "会长"),
    *("市长", "省长", "院长", "校长", "委员", "代表", "大臣", "首相", "夫人", "教授", "选手", "队员"),
)
"""Words of two characters that often stand right before a name."""


class Tagged(NamedTuple):
    """A document as tensors of one length: ids, labels (places in ``LABELS``), and types for the gate.

    The gate is to find where entities begin: the type stands at the first character, 0 at all others.
    """

    input_ids: Tensor
    labels: Tensor
    types: Tensor


def relation_settings(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What ``RelationSparseConfig`` is told about the text: how many tokens, labels and types there are, its sentence ends and its titles."""
    known = tokenizer.get_vocab()
    return {
        "vocab_size": len(known),
        "num_labels": len(LABELS),
        "num_types": len(ENTITY_TYPES),
        "sentence_ends": tuple(known[end] for end in SENTENCE_ENDS if end in known),
        "titles": tuple((known[a], known[b]) for a, b in TITLES if a in known and b in known),  # type: ignore[str-unpack]
    }


def tag(documents: Iterable[Document], tokenizer: PreTrainedTokenizerFast) -> list[Tagged]:
    """The ids, labels and types of each document."""
    known, numbers = tokenizer.get_vocab(), {label: number for number, label in enumerate(LABELS)}
    examples = []
    for document in documents:
        ids = [known.get(character, tokenizer.unk_token_id) for character in document.text]
        types = torch.zeros(len(ids), dtype=torch.long)
        for entity in document.entities:
            types[entity.start] = 1 + ENTITY_TYPES.index(entity.type)
        labels = torch.tensor([numbers[label] for label in bio_labels(document)])
        examples.append(Tagged(torch.tensor(ids), labels, types))
    return examples


def loss_of(model: nn.Module, batch: Sequence[Tagged], device: Any = None, annotated: bool = True) -> Tensor:
    """The model's loss, summed over characters, for ``llm_tutorial.training.fit``.

    Args:
        model: A token classifier.
        batch: Examples of one length.
        device: Where the tensors go.
        annotated: Tell the gate where the entities are, too.
    """
    input_ids, labels, types = (torch.stack(part).to(device) for part in zip(*batch, strict=True))
    loss = model(input_ids=input_ids, labels=labels, types=types if annotated else None).loss
    return loss * labels.numel()


class Reading(NamedTuple):
    """What a model makes of a document: a label for each character, and the places that its gate chose."""

    labels: list[str]
    chosen: list[int]


@torch.no_grad()
def read(model: Any, examples: Iterable[Tagged], gold_entities: bool = False) -> list[Reading]:
    """The likeliest label of each character.

    Args:
        model: A token classifier.
        examples: Documents, read one at a time.
        gold_entities: Attend through the annotated entities in place of the gate's: an upper bound.
    """
    model.eval()
    device = next(model.parameters()).device
    readings = []
    for example in examples:
        options = {"entities": gold_places(example, model.config.num_entities).to(device)} if gold_entities else {}
        output = model(input_ids=example.input_ids[None].to(device), **options)
        labels = [LABELS[number] for number in output.logits[0].argmax(-1).tolist()]
        readings.append(Reading(labels, [] if output.entities is None else output.entities[0].tolist()))
    return readings


def gold_places(example: Tagged, limit: int) -> Tensor:
    """Where the annotated entities of a document begin, (1, entities): at most ``limit``, evenly spread.

    Example:
        >>> types = torch.tensor([0, 1, 0, 2, 0, 0, 1])
        >>> gold_places(Tagged(types, types, types), limit=2)
        tensor([[1, 6]])
    """
    places = example.types.nonzero()[:, 0]
    if len(places) > limit:
        places = places[torch.linspace(0, len(places) - 1, limit).round().long()]
    return places[None]


def evaluate(
    model: Any, examples: Sequence[Tagged], documents: Sequence[Document], gold_entities: bool = False
) -> dict[str, float]:
    """``score`` of a model on whole documents; ``gate`` is the share of the places it chose where an entity begins."""
    readings = read(model, examples, gold_entities)
    metrics = score([spans(reading.labels) for reading in readings], [document.entities for document in documents])
    chosen = [
        int(example.types[place] > 0)
        for example, reading in zip(examples, readings, strict=True)
        for place in reading.chosen
        if place >= 0
    ]
    return metrics | ({"gate": sum(chosen) / len(chosen)} if chosen else {})


class LSTMTagger(nn.Module):
    """A bidirectional LSTM on the encoder's embeddings, as large as two of its layers: a baseline.

    Args:
        config: Of the encoder; vocabulary, hidden size, pairs of tokens, labels and dropout are used.
    """

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.bigram = BigramEmbedding(config)
        for embedding in (self.embedding, self.bigram.pair):
            nn.init.normal_(embedding.weight, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.hidden_size, config.hidden_size, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels or 2)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **_: Any) -> TaskOutput:
        """Labels each token: ids and labels (batch, length)."""
        hidden = self.dropout(self.embedding(input_ids) + self.bigram(input_ids))
        with torch.autocast(hidden.device.type, enabled=False):  # an LSTM on a CPU knows no float16 under autocast
            hidden = self.lstm(hidden.to(self.embedding.weight.dtype))[0]
        logits = self.classifier(self.dropout(hidden))
        loss = None if labels is None else nn.functional.cross_entropy(widen(logits).flatten(0, 1), labels.flatten())
        return TaskOutput(loss, logits)
