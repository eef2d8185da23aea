"""Reading what a user writes in place of yes and no: by rule, and with a language model that was not trained for it."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

LABELS = ("yes", "no", "other")
YES = {"yes", "yeah", "yep", "right", "correct", "exactly", "sure", "ok", "okay", "true"}
NO = {"no", "nope", "not", "wrong", "incorrect", "false", "isn't", "don't", "didn't"}


def read_by_rule(text: str) -> str:
    """``no`` if a word of denial is in the text, else ``yes`` if a word of assent is, else ``other``.

    Args:
        text: What the user wrote.

    Example:
        >>> read_by_rule("Yes, please"), read_by_rule("That's not right"), read_by_rule("On Monday")
        ('yes', 'no', 'other')
    """
    words = set(re.findall(r"[a-z']+", text.lower().replace("’", "'")))
    return "no" if words & NO else "yes" if words & YES else "other"


@torch.no_grad()
def label_scores(model: nn.Module, tokenizer: Any, prefix: str, texts: Sequence[str], form: str) -> torch.Tensor:
    r"""Log-probabilities of the labels after each text: (texts, labels), over the labels alone.

    The prefix goes through the model once; of the answer only the labels are looked at, so that nothing else can be
    answered.

    Args:
        model: A causal language model of Transformers.
        tokenizer: Its tokenizer; each label, with a space before it, has to begin with another token.
        prefix: Examples, the same for all texts.
        texts: What is read.
        form: What is appended to the prefix for a text, with ``{}`` for it; ends just before the label.

    Raises:
        ValueError: Two labels begin with the same token.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> prefix = 'User: "Yes." Answer: yes\nUser: "No." Answer: no\nUser: "On Monday." Answer: other\n'
        >>> scores = label_scores(load_model(), load_tokenizer(), prefix, ["Yes.", "No."], 'User: "{}" Answer:')
        >>> scores.argmax(1).tolist()
        [0, 1]
    """
    first = [tokenizer(" " + label, add_special_tokens=False).input_ids[0] for label in LABELS]
    if len(set(first)) < len(LABELS):
        raise ValueError(
            f"labels that begin with the same token: {list(LABELS)}\n这些标签开头的词元相同：{list(LABELS)}"
        )
    device = next(model.parameters()).device
    start = tokenizer(prefix, return_tensors="pt").input_ids.to(device)
    cache = model(start, use_cache=True).past_key_values
    rows = []
    for text in texts:
        ids = tokenizer(form.format(text), return_tensors="pt", add_special_tokens=False).input_ids.to(device)
        logits = model(ids, past_key_values=cache, use_cache=True).logits[0, -1].float()
        cache.crop(-ids.shape[1])  # forget the text, keep the examples
        rows.append(logits[first].log_softmax(-1))
    return torch.stack(rows)
