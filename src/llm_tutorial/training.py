"""Training: packed question–answer pairs, and a loop that can be interrupted and runs on several devices."""

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from llm_tutorial.saved_state import load_state, save_state, settings_of

PROBED_STEPS = "LLM_TUTORIAL_PROBED_STEPS"  # in the environment: `fit` ends after so many (see `llm_tutorial.runs`)


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


def linear_decay(optimizer: torch.optim.Optimizer, steps: int, warmup: int = 0) -> torch.optim.lr_scheduler.LambdaLR:
    """A learning rate that rises over ``warmup`` steps, then falls linearly to 0 at ``steps``."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (warmup + 1), (steps - step) / max(steps - warmup, 1))
    )


def fit(
    model: nn.Module,
    batch_at: Callable[[int], Sequence[Any]],
    optimizer: torch.optim.Optimizer,
    steps: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    state: Path | None = None,
    seed: int = 0,
    save_every: int = 25,
    max_grad_norm: float | None = 1.0,
    description: str = "training",
    accelerator: Accelerator | None = None,
    loss_of: Callable[[nn.Module, Sequence[Any], Any], Tensor] = answer_loss,
    count: Callable[[Sequence[Any]], int] = answer_tokens,
) -> list[float]:
    """Trains a model's free parameters on batches that depend on the step's number alone.

    Every step seeds itself, so step 57 is the same whether or not the run was interrupted before it.
    On several devices each takes its share of every batch, and the loss is divided by what the whole batch
    counts (its answer tokens): the result is that of one device.

    Args:
        model: The model; parameters with ``requires_grad`` are trained.
        batch_at: Gives the whole batch of a step.
        optimizer: Over the trained parameters.
        steps: How many.
        scheduler: Stepped after each step.
        state: Folder that keeps the state of an unfinished run; it is removed at the end by ``LongRun``.
        seed: Of dropout.
        save_every: Steps between two saved states.
        max_grad_norm: Gradients are clipped to this norm.
        description: Shown beside the progress bar.
        accelerator: From Accelerate; one that finds the devices itself if not given.
        loss_of: Summed loss of examples, given the model, the examples and the device.
        count: What the sum is divided by.

    Returns:
        The mean loss of each step, in nats per answer token.
    """
    accelerator = accelerator or Accelerator(cpu=not torch.accelerator.is_available())
    last = min(steps, int(os.environ.get(PROBED_STEPS, steps)))
    keep = state if last == steps else None
    settings = settings_of(model, optimizer, steps=steps, seed=seed, max_grad_norm=max_grad_norm)
    losses = load_state(keep, model, optimizer, scheduler, settings) if keep else []
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    rank, world = accelerator.process_index, accelerator.num_processes
    model.train()
    bar = tqdm(range(len(losses), last), initial=len(losses), total=last, desc=description, disable=rank > 0)
    for step in bar:
        torch.manual_seed(1_000_003 * seed + step)
        batch = batch_at(step)
        tokens = count(batch)
        loss = loss_of(wrapped, batch[rank::world], accelerator.device) / tokens
        accelerator.backward(loss * world)  # the devices' gradients are averaged, and shall be summed
        if max_grad_norm is not None:
            accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if scheduler:
            scheduler.step()
        losses.append(float(accelerator.reduce(loss.detach(), "sum")))
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
        if keep and rank == 0 and (step + 1) % save_every == 0 and step + 1 < steps:
            save_state(keep, model, optimizer, scheduler, losses, settings)
    model.eval()
    return losses + losses[-1:] * (steps - last)  # a probe leaves out the last steps, and has a loss for each of them
