"""What a decoder says: greedy continuations of many prompts at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from llm_tutorial.evaluation import padded
from llm_tutorial.packing import with_begin_token


@torch.no_grad()
def greedy_answers(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int = 28, batch_size: int = 50
) -> list[str]:
    """Greedy continuations of prompts, up to the end token or the line's end.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer.
        prompts: Whole prompts.
        max_new_tokens: Where an answer without end is cut off.
        batch_size: Prompts continued together.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> greedy_answers(load_model(), load_tokenizer(), ["The capital of France is"], max_new_tokens=2)
        ['Paris.']
    """
    device = next(model.parameters()).device
    said: list[str] = []
    for start in range(0, len(prompts), batch_size):
        texts = [with_begin_token(tokenizer, text) for text in prompts[start : start + batch_size]]
        # padded here: not every tokenizer has a token for it, and the caller's is left as it was
        ids, mask = padded([tokenizer(text, add_special_tokens=False).input_ids for text in texts], "left", device)
        options = {"max_new_tokens": max_new_tokens, "do_sample": False, "pad_token_id": tokenizer.eos_token_id}
        written = model.generate(input_ids=ids, attention_mask=mask, **options)  # type: ignore[operator]
        continued = tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
        said += [text.strip().partition("\n")[0].strip() for text in continued]
    return said
