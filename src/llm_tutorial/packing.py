"""Questions and answers for a decoder, packed end to end into one row: no padding, loss on the answers alone."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Example(NamedTuple):
    """Token ids of a prompt and its answer, and where the answer begins."""

    input_ids: list[int]
    answer_from: int


def encode(tokenizer: Any, prompt: str, answer: str, prompt_loss: bool = False) -> Example:
    """A training example between the tokenizer's begin and end tokens.

    The begin token is not decoration: a decoder parks surplus attention on the first token, whichever it
    is, and can hardly read what it says.

    Args:
        tokenizer: A Transformers tokenizer.
        prompt: What the model is given.
        answer: What it shall say.
        prompt_loss: Train on the prompt's tokens too (a common mistake, shown on the page).

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> encode(load_tokenizer("smollm2-135m"), "two days →", "2天")
        Example(input_ids=[1, 11355, 2009, 17822, 34, 18614, 119, 2], answer_from=4)
    """
    ids = tokenizer(with_begin_token(tokenizer, prompt), add_special_tokens=False).input_ids
    answer_ids = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return Example(ids + answer_ids, 1 if prompt_loss else len(ids))


def with_begin_token(tokenizer: Any, prompt: str) -> str:
    """The prompt after the tokenizer's begin token, unless it has one already (chat templates do) or there is none."""
    begin = tokenizer.bos_token or ""
    return prompt if prompt.startswith(begin) else begin + prompt


def pack(examples: Sequence[Example], device: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    """One row that holds all examples end to end: no padding, and logits for the answers alone.

    Positions start again at 0 with each example, from which Transformers makes the block-diagonal causal
    mask that keeps the examples apart.

    Args:
        examples: Of any lengths, ``T`` tokens together, ``K`` of them answers.
        device: Where the tensors go.

    Returns:
        The model's arguments, and the labels (K,) of the logits (1, K, vocabulary) it then gives.
    """
    ids = [token for example in examples for token in example.input_ids]
    positions = [place for example in examples for place in range(len(example.input_ids))]
    starts = [0, *itertools.accumulate(len(example.input_ids) for example in examples)]
    answers = [
        start + place
        for start, example in zip(starts, examples, strict=False)
        for place in range(example.answer_from, len(example.input_ids))
    ]
    row, kept = torch.tensor(ids, device=device), torch.tensor(answers, device=device)
    inputs = {
        "input_ids": row[None],  # (1, T)
        "position_ids": torch.tensor(positions, device=device)[None],  # (1, T)
        "logits_to_keep": kept - 1,  # (K,): the token before predicts
    }
    return inputs, row[kept]


def answer_loss(model: nn.Module, examples: Sequence[Example], device: Any = None) -> Tensor:
    """Sum of the answer tokens' cross-entropy, in nats; divide by ``answer_tokens`` for the mean."""
    inputs, labels = pack(examples, device)
    return nn.functional.cross_entropy(model(**inputs, use_cache=False).logits[0], labels, reduction="sum")


def answer_tokens(examples: Sequence[Example]) -> int:
    """How many tokens the loss is summed over."""
    return sum(len(example.input_ids) - example.answer_from for example in examples)
