"""The label of each review, in a long document of many or alone: its characters vote.

Every character gets a logit for each label; those of a review are averaged. What a character can see is the whole
document or its own review only.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from llm_tutorial.data.reviews import JoinedReviews, Span
from llm_tutorial.precision import widen

BESIDE = 8  # reviews of similar length in one batch, when they are read alone


class Reviewed(NamedTuple):
    """Token ids (length,) of a document, and where each of its reviews stands."""

    input_ids: Tensor
    spans: tuple[Span, ...]


def encode_reviews(documents: Iterable[JoinedReviews], tokenizer: PreTrainedTokenizerFast) -> list[Reviewed]:
    """The documents as ids, one a character."""
    known = tokenizer.get_vocab()
    return [
        Reviewed(
            torch.tensor([known.get(character, tokenizer.unk_token_id) for character in document.text]), document.spans
        )
        for document in documents
    ]


def review_logits(model: nn.Module, document: Reviewed, alone: bool = False) -> Tensor:
    """The mean of the logits of each review's characters.

    Args:
        model: A token classifier.
        document: Reviews.
        alone: Let the model read each review by itself.

    Returns:
        (reviews, labels).

    Example:
        >>> class Even(nn.Module):  # votes for 1 at every even id
        ...     def forward(self, input_ids, attention_mask=None):
        ...         from types import SimpleNamespace
        ...         return SimpleNamespace(logits=F.one_hot((input_ids % 2 == 0).long(), 2).float())
        >>> document = Reviewed(torch.tensor([2, 4, 3, 9, 5, 5]), (Span(0, 3, 1), Span(4, 6, 0)))
        >>> review_logits(Even(), document)[:, 1].round(decimals=2)
        tensor([0.6700, 0.0000])
        >>> torch.equal(review_logits(Even(), document, alone=True), review_logits(Even(), document))
        True
    """
    device = next(model.parameters(), torch.empty(0)).device
    ids = document.input_ids.to(device)
    if not alone:
        logits = widen(model(input_ids=ids[None]).logits[0])
        return torch.stack([logits[span.start : span.end].mean(0) for span in document.spans])
    order = sorted(
        range(len(document.spans)), key=lambda place: document.spans[place].end - document.spans[place].start
    )
    found: dict[int, Tensor] = {}
    for first in range(0, len(order), BESIDE):
        places = order[first : first + BESIDE]
        rows = [ids[document.spans[place].start : document.spans[place].end] for place in places]
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        logits = widen(model(input_ids=pad_sequence(rows, batch_first=True), attention_mask=mask).logits)
        means = (logits * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        found |= dict(zip(places, means, strict=True))
    return torch.stack([found[place] for place in range(len(order))])


def labels_of(documents: Iterable[Reviewed]) -> list[int]:
    """The labels of all reviews, in order."""
    return [span.label for document in documents for span in document.spans]


def review_loss(model: nn.Module, documents: Sequence[Reviewed], device: Any = None, alone: bool = False) -> Tensor:
    """Summed cross-entropy of the reviews, for ``llm_tutorial.training.fit``."""
    logits = torch.cat([review_logits(model, document, alone) for document in documents])
    return F.cross_entropy(logits, torch.tensor(labels_of(documents), device=logits.device), reduction="sum")


def count_reviews(documents: Sequence[Reviewed]) -> int:
    """How many reviews the loss is summed over."""
    return sum(len(document.spans) for document in documents)


@torch.no_grad()
def accuracy(model: nn.Module, documents: Sequence[Reviewed], alone: bool = False) -> float:
    """Share of the reviews whose label the model, in evaluation, names."""
    model.eval()
    guesses = [guess for document in documents for guess in review_logits(model, document, alone).argmax(-1).tolist()]
    return sum(guess == label for guess, label in zip(guesses, labels_of(documents), strict=True)) / len(guesses)
