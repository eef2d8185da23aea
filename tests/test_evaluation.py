"""Perplexity and choices of a stub whose likelihoods are known, right by halves."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm_tutorial.data.text import Question
from llm_tutorial.evaluation import perplexity, score_questions

WORDS = ("?", "one", "two", "three", "four", "east", "west", "north", "south")
ID = {word: number for number, word in enumerate(WORDS)}


def tokenizer(text: str) -> Any:
    return SimpleNamespace(input_ids=[ID[word] for word in text.split()])


class Cache:
    def batch_repeat_interleave(self, times: int) -> None:
        pass


class Bigrams(nn.Module):
    """Gives one half to the word that it takes to follow another, the rest evenly to all others."""

    def __init__(self, following: dict[str, str]):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(len(WORDS), len(WORDS)))
        for word, after in following.items():
            self.table.data[ID[word], ID[after]] = math.log(len(WORDS) - 1)

    def forward(self, input_ids: Tensor, logits_to_keep: int = 0, **_: Any) -> Any:
        return SimpleNamespace(logits=self.table[input_ids[:, -logits_to_keep:]], past_key_values=Cache())


def test_perplexity_of_words_half_of_which_are_foreseen() -> None:
    model = Bigrams({"one": "two", "two": "three"})
    expected = math.exp((2 * math.log(2) + 2 * math.log(9)) / 4)  # a table without a favourite is even: one ninth
    for batch_size in (1, 8):
        assert perplexity(model, tokenizer, ["one two three", "three four one"], batch_size=batch_size) == (
            pytest.approx(expected, rel=1e-5)
        )


def test_questions_half_of_which_are_answered_right() -> None:
    model = Bigrams({"one": "east", "two": "west", "three": "north", "four": "north"})
    right = {"one": "east", "two": "north", "three": "south", "four": "north"}
    choices = ("east", "west", "north", "south")
    questions = [Question("", word, answer, choices) for word, answer in right.items()]
    for batch_size in (1, 16):
        assert score_questions(model, tokenizer, questions, "{question}", batch_size) == 0.5
