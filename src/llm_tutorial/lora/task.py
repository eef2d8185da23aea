"""The task of the page on low-rank adaptation: English expressions into Chinese, right or wrong.

The prompt is bare, ``two kilograms →``, because prompt tokens are what training on a CPU pays for.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llm_tutorial.data.cldr import SPLITS, Pair, cldr_pairs
from llm_tutorial.data.text import english_questions, held_out_english
from llm_tutorial.evaluation import answered_exactly, mean_answer_loss, perplexity, score_questions
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora.inject import add_lora
from llm_tutorial.lora.variants import lora_plus_groups, pissa_init
from llm_tutorial.models import load_model
from llm_tutorial.packing import Example, encode
from llm_tutorial.training import fit, linear_decay

MODEL = "smollm2-135m"
TEST_PAIRS = 200


def prompt(english: str) -> str:
    """What the model is given."""
    return f"{english} →"


def encoded(tokenizer: Any, pairs: Sequence[Pair]) -> list[Example]:
    """The pairs as examples: the English is given, the Chinese and the end are to be said."""
    return [encode(tokenizer, prompt(pair.english), pair.chinese) for pair in pairs]


def batches(
    tokenizer: Any, pairs: Sequence[Pair], batch_size: int = 16, seed: int = 0
) -> Callable[[int], list[Example]]:
    """Batches by the number of their step: epoch after epoch, each in an order of its own.

    Args:
        tokenizer: A Transformers tokenizer.
        pairs: The training pairs; fewer than ``batch_size`` make smaller batches.
        batch_size: Pairs in a batch.
        seed: Of the order.
    """
    examples = encoded(tokenizer, pairs)
    size = min(batch_size, len(pairs))
    per_epoch = len(pairs) // size

    def batch_at(step: int) -> list[Example]:
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(1000 * seed + epoch)).tolist()
        return [examples[i] for i in order[place * size : (place + 1) * size]]

    return batch_at


def train_adapter(
    tokenizer: Any,
    pairs: Sequence[Pair],
    steps: int,
    learning_rate: float,
    seed: int = 0,
    ratio: float = 1,
    pissa: bool = False,
    state: Path | None = None,
    description: str = "training",
    **options: Any,
) -> tuple[nn.Module, list[float]]:
    """Trains an adapter on SmolLM2-135M; the learning rate rises over the first fifteenth, then falls linearly to 0.

    Args:
        tokenizer: SmolLM2's tokenizer.
        pairs: The training pairs.
        steps: Of 16 pairs each.
        learning_rate: Of ``A``, and of ``B`` where ``ratio`` is 1.
        seed: Of ``A``, of the order of the pairs and of dropout.
        ratio: Learning rate of ``B`` over that of ``A`` (LoRA+).
        pissa: Start at the strongest directions of each weight (PiSSA).
        state: Folder for the state of an unfinished run.
        description: Shown beside the progress bar.
        options: Of ``add_lora``: rank, alpha, target_modules and so on.

    Returns:
        The model with its adapter, and the mean loss of each step.
    """
    torch.manual_seed(seed)
    model = add_lora(load_model(MODEL), **options)
    if pissa:
        pissa_init(model, niter=16)
    optimizer = torch.optim.AdamW(lora_plus_groups(model, learning_rate, ratio), weight_decay=0)
    scheduler = linear_decay(optimizer, steps, warmup=steps // 15)
    losses = fit(
        model, batches(tokenizer, pairs, seed=seed), optimizer, steps, scheduler, state, seed, description=description
    )
    return model, losses


def exact_match(model: nn.Module, tokenizer: Any, pairs: Sequence[Pair]) -> float:
    """Share of pairs, in percent, whose Chinese and end token greedy decoding gives to the letter."""
    return 100 * answered_exactly(model, encoded(tokenizer, pairs))


def contains_match(model: nn.Module, tokenizer: Any, pairs: Sequence[Pair]) -> float:
    """Share of pairs, in percent, whose Chinese stands somewhere in what the model says."""
    said = greedy_answers(model, tokenizer, [prompt(pair.english) for pair in pairs])
    return 100 * sum(pair.chinese in a for a, pair in zip(said, pairs, strict=True)) / len(pairs)


def held_out_loss(model: nn.Module, tokenizer: Any, pairs: Sequence[Pair]) -> float:
    """Mean loss over the answers of pairs, in nats per token."""
    return mean_answer_loss(model, encoded(tokenizer, pairs))


def quality(model: nn.Module, tokenizer: Any, few: Callable[[Any], Any] = lambda items: items) -> dict[str, float]:
    """Exact match, in percent, on the 200 held-out pairs and on what was never trained.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        few: Takes some of the items that are measured (``LongRun.few``).
    """
    unseen = {split: exact_match(model, tokenizer, few(cldr_pairs(60, split))) for split in SPLITS[2:5]}
    test = few(cldr_pairs(TEST_PAIRS, "held_out"))
    return {
        "held_out": exact_match(model, tokenizer, test),
        "held_out_loss": held_out_loss(model, tokenizer, test),
        **unseen,
        "sentences": contains_match(model, tokenizer, few(cldr_pairs(60, "sentences"))),
    }


def forgetting(model: nn.Module, tokenizer: Any, few: Callable[[Any], Any] = lambda items: items) -> dict[str, float]:
    """What is left of the model's English: fixed questions (percent right) and perplexity of held-out text.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        few: Takes some of the items that are measured (``LongRun.few``).
    """
    return {
        "questions": 100 * score_questions(model, tokenizer, few(english_questions())),
        "perplexity": perplexity(model, tokenizer, few(held_out_english())),
    }


def validation_pairs() -> list[Pair]:
    """60 pairs of held-out values to choose settings by, none of them among the 200 of the test."""
    test = set(cldr_pairs(TEST_PAIRS, "held_out"))
    return [pair for pair in cldr_pairs(100, "held_out", seed=1) if pair not in test][:60]
