"""The strongest n-grams are those that fire a filter, and the parts of an answer add up to it."""

import pytest
import torch
from torch import nn

from llm_tutorial.cnn.ngrams import Ngram, contributions, strongest
from llm_tutorial.cnn.text_cnn import TextCNN, pad

TOKENS = [["ab", "cd", "ef", "gh"], ["ef", "ab", "ab", "cd", "x", "y"]]
NUMBERS = {token: number for number, token in enumerate(sorted({t for text in TOKENS for t in text}), start=2)}
ROWS = [[NUMBERS[token] for token in text] for text in TOKENS]


class Reader(nn.Module):
    """Somebody's own model: a filter over two tokens."""

    def __init__(self, **options):
        super().__init__()
        self.embedding = nn.Embedding(12, 12)
        self.embedding.weight.data = torch.eye(12)
        self.layer = nn.Conv1d(12, 2, 2, bias=False, **options)
        nn.init.zeros_(self.layer.weight)

    def forward(self, ids):
        return self.layer(self.embedding(ids).mT).relu().amax(-1)


def test_the_ngram_that_a_filter_was_made_for_comes_first():
    model = Reader()
    model.layer.weight.data[0, NUMBERS["ab"], 0] = 1.0
    model.layer.weight.data[0, NUMBERS["cd"], 1] = 2.0
    first, _ = strongest(model, model.layer, TOKENS, ROWS, count=2)
    assert first[0] == Ngram(("ab", "cd"), 3.0)
    model.layer.weight.data *= -1  # the other sign: it is no longer the strongest
    assert strongest(model, model.layer, TOKENS, ROWS, count=2)[0][0] != first[0]


def test_a_dilated_filter_skips_a_token():
    model = Reader(dilation=2)
    model.layer.weight.data[1, NUMBERS["ab"], 0] = 1.0
    model.layer.weight.data[1, NUMBERS["ef"], 1] = 1.0
    assert strongest(model, model.layer, TOKENS, ROWS)[1][0] == Ngram(("ab", "ef"), 2.0)


def test_the_mode_of_the_model_comes_back_and_other_layers_are_refused():
    model = Reader()
    model.train()
    strongest(model, model.layer, TOKENS, ROWS)
    assert model.training
    assert not model.layer._forward_hooks
    for options in ({"stride": 2}, {"padding": 1}, {"groups": 2}):
        with pytest.raises(ValueError, match=r"a place is one n-gram only(.|\n)*步幅"):
            strongest(model, nn.Conv1d(12, 2, 2, **options), TOKENS, ROWS)
    with pytest.raises(ValueError, match=r"not run(.|\n)*没有运行"):
        strongest(model, nn.Conv1d(12, 2, 2), TOKENS, ROWS)
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_contributions_add_up_to_the_answer(dtype):
    torch.manual_seed(0)
    model = TextCNN(12, width=6, filters=7).eval()
    model.embeddings[0].weight.data[1:] = torch.randn(11, 6)
    model = model.to(dtype)
    for tokens, row in zip(TOKENS, ROWS, strict=True):
        z = model(pad([row]))[0].float()
        bias = model.classifier.bias.float()
        for label in (0, 1):
            total = sum(part.value for part in contributions(model, tokens, row, label))
            wanted = (z[label] - z[1 - label]) - (bias[label] - bias[1 - label])
            assert abs(total - wanted) < (1e-5 if dtype == torch.float32 else 0.1)


@torch.no_grad()
def test_each_part_is_named_with_the_ngram_of_its_filter():
    model = TextCNN(12, width=12, regions=(2, 3), filters=1).eval()
    model.embeddings[0].weight.data = torch.eye(12)
    two, three = model.convolutions
    for value in (two.weight, two.bias, three.weight, three.bias, model.classifier.weight):
        nn.init.zeros_(value)
    two.weight[0, NUMBERS["ab"], 0] = two.weight[0, NUMBERS["cd"], 1] = 1.0
    three.weight[0, NUMBERS["x"], 1] = 1.0
    model.classifier.weight[:] = torch.tensor([[0.0, 1.0], [3.0, -1.0]])
    found = [part for part in contributions(model, TOKENS[1], ROWS[1]) if part.value]
    assert found == [Ngram(("ab", "cd"), 6.0), Ngram(("cd", "x", "y"), -2.0)]
    assert [part.value for part in contributions(model, TOKENS[1], ROWS[1], label=0) if part.value] == [-6.0, 2.0]


def test_contributions_want_max_pooling_and_two_classes():
    for model in (TextCNN(12, pooling="mean"), TextCNN(12, classes=3)):
        with pytest.raises(ValueError, match=r"this needs 'max' and 2(.|\n)*要求"):
            contributions(model, TOKENS[0], ROWS[0])
