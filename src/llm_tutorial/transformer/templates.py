"""One question in right and wrong chat templates, and what a model makes of it."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

Wrapping = Callable[[Any, str], str]


def _chat(tokenizer: Any, question: str, **kwargs: Any) -> str:
    text: str = tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False, **kwargs)
    return text


WRAPPINGS: dict[str, Wrapping] = {
    "its own": lambda tokenizer, question: _chat(tokenizer, question, add_generation_prompt=True),
    "begin token doubled": lambda tokenizer, question: (
        tokenizer.bos_token + _chat(tokenizer, question, add_generation_prompt=True)
    ),
    "no system message": lambda tokenizer, question: f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
    "no generation prompt": _chat,
    "Llama 2's": lambda tokenizer, question: f"[INST] {question} [/INST]",
    "question and answer": lambda tokenizer, question: f"Question: {question}\nAnswer:",
    "begin token only": lambda tokenizer, question: tokenizer.bos_token + question,
    "none": lambda tokenizer, question: question,
}
"""The whole prompt of a tokenizer and a question. SmolLM2's own template is ChatML with a system message."""


class Reply(NamedTuple):
    """What a model wrote, and whether it ended by itself."""

    text: str
    ended: bool


@torch.no_grad()
def replies(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int = 32,
    min_new_tokens: int = 0,
    batch_size: int = 66,
) -> list[Reply]:
    """Greedy replies, with the special tokens that the model wrote.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompts: Whole prompts, with all special tokens; none are added.
        max_new_tokens: Where a reply is cut off.
        min_new_tokens: The end token is forbidden before.
        batch_size: Prompts continued together.
    """
    tokenizer.padding_side = "left"
    found = []
    for start in range(0, len(prompts), batch_size):
        batch = list(prompts[start : start + batch_size])
        inputs = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
        ids = model.generate(  # type: ignore[operator]
            inputs.input_ids,
            attention_mask=inputs.attention_mask,
            max_new_tokens=max_new_tokens,
            min_new_tokens=min_new_tokens,
            do_sample=False,
        )[:, inputs.input_ids.shape[1] :]
        for row in ids:
            ends = (row == tokenizer.eos_token_id).nonzero().flatten().tolist()
            written = row[: ends[0]] if ends else row
            found.append(Reply(tokenizer.decode(written).strip(), bool(ends)))
    return found


def says(reply: str, answer: str) -> bool:
    """Whether a reply contains the answer as words of its own, in any case.

    Args:
        reply: Of the model.
        answer: The right one.

    Example:
        >>> says("It is paris.", "Paris"), says("The result is 120.", "12")
        (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", reply, re.IGNORECASE) is not None
