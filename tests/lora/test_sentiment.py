"""Votes of characters: a review's logits are the mean of its own, together or alone."""

import random

import pytest
import torch
from torch.nn import functional as F

from llm_tutorial.data.reviews import Span, joined_reviews
from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseForTokenClassification
from llm_tutorial.lora.sentiment import (
    Reviewed,
    accuracy,
    count_reviews,
    encode_reviews,
    labels_of,
    review_logits,
    review_loss,
)
from llm_tutorial.tokenizers import character_tokenizer


def model(**options) -> RelationSparseForTokenClassification:
    torch.manual_seed(0)
    config = RelationSparseConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, intermediate_size=32, num_labels=2, block_size=16,
        num_entities=4, num_types=1, dropout=0.0, **options,
    )  # fmt: skip
    return RelationSparseForTokenClassification(config).eval()


def document(lengths: list[int], seed: int = 0) -> Reviewed:
    draw, spans, start = random.Random(seed), [], 0
    for length in lengths:
        spans.append(Span(start, start + length, draw.randrange(2)))
        start += length + 1
    return Reviewed(torch.tensor([draw.randrange(1, 60) for _ in range(start - 1)]), tuple(spans))


LONG = document([5, 40, 12, 7, 33, 9, 21, 18, 4, 30])


def test_together_is_the_mean_over_the_span():
    classifier = model()
    logits = classifier(input_ids=LONG.input_ids[None]).logits[0]
    for span, ours in zip(LONG.spans, review_logits(classifier, LONG), strict=True):
        torch.testing.assert_close(ours, logits[span.start : span.end].mean(0))


@pytest.mark.parametrize("options", [{}, {"attention": "dense", "entities": "none"}, {"entities": "none"}])
def test_alone_is_each_review_by_itself(options):
    classifier = model(**options)
    ours = review_logits(classifier, LONG, alone=True)
    for span, each in zip(LONG.spans, ours, strict=True):
        by_itself = classifier(input_ids=LONG.input_ids[None, span.start : span.end]).logits[0].mean(0)
        torch.testing.assert_close(each, by_itself, atol=1e-5, rtol=1e-5)


def test_alone_does_not_see_the_other_reviews():
    changed = LONG.input_ids.clone()
    last = LONG.spans[-1]
    changed[: last.start] = changed[: last.start].flip(0)
    other = Reviewed(changed, LONG.spans)
    classifier = model()
    same = review_logits(classifier, LONG, True)[-1] - review_logits(classifier, other, True)[-1]
    seen = review_logits(classifier, LONG)[-1] - review_logits(classifier, other)[-1]
    assert same.abs().max() < 1e-6 < seen.abs().max()


def test_loss_is_torch_s_cross_entropy_summed():
    classifier, documents = model(), [LONG, document([8, 9], seed=1)]
    logits = torch.cat([review_logits(classifier, each) for each in documents])
    expected = F.cross_entropy(logits, torch.tensor(labels_of(documents)), reduction="sum")
    torch.testing.assert_close(review_loss(classifier, documents), expected)
    assert count_reviews(documents) == 12


def test_accuracy_counts_the_reviews_named_right():
    classifier, documents = model(), [LONG, document([8, 9], seed=1)]
    guesses = torch.cat([review_logits(classifier, each).argmax(-1) for each in documents]).tolist()
    right = sum(guess == label for guess, label in zip(guesses, labels_of(documents), strict=True))
    assert accuracy(classifier, documents) == pytest.approx(right / 12)


def test_every_real_review_is_a_span_of_its_text():
    joined = joined_reviews("validation")[:3]
    tokenizer = character_tokenizer(each.text for each in joined)
    for text, ids in zip(joined, encode_reviews(joined, tokenizer), strict=True):
        assert len(ids.input_ids) == len(text.text)
        separator = tokenizer.get_vocab()["\n"]
        ends = [span.end for span in ids.spans[:-1]]
        assert all(ids.input_ids[end] == separator for end in ends)
