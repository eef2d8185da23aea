"""The training loop: it can be interrupted and started again, and runs on several devices, to the same result."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from llm_tutorial.packing import answer_loss, answer_tokens
from llm_tutorial.saved_state import load_state, save_state, settings_of

PROBED_STEPS = "LLM_TUTORIAL_PROBED_STEPS"  # in the environment: `fit` ends after so many (see `llm_tutorial.runs`)


def adamw(model: nn.Module, learning_rate: float, rare: Sequence[str] = (), faster: float = 5) -> torch.optim.AdamW:
    """AdamW over all parameters of a small model that is trained from nothing.

    Args:
        model: What is trained.
        learning_rate: Learning rate of all parameters but the rare ones.
        rare: Parts of the names of tables whose rows are seen seldom: they take longer steps.
        faster: How many times as long.

    Example:
        >>> model = nn.ModuleDict({"embedding": nn.Embedding(2, 2), "head": nn.Linear(2, 1)})
        >>> [group["lr"] for group in adamw(model, 1e-3, ["embedding"]).param_groups]
        [0.005, 0.001]
    """
    tables = [p for name, p in model.named_parameters() if any(part in name for part in rare)]
    others = [p for p in model.parameters() if all(p is not table for table in tables)]
    groups: list[dict[str, Any]] = [{"params": tables, "lr": faster * learning_rate}, {"params": others}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)


def linear_decay(optimizer: torch.optim.Optimizer, steps: int, warmup: int = 0) -> torch.optim.lr_scheduler.LambdaLR:
    """A learning rate that rises over ``warmup`` steps, then falls linearly to 0 at ``steps``.

    Args:
        optimizer: Its rates are those at the top.
        steps: Steps of the training.
        warmup: Steps of the rise.

    Example:
        >>> optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = linear_decay(optimizer, steps=4, warmup=1)
        >>> for _ in range(4):
        ...     print(f"{schedule.get_last_lr()[0]:.2f}")
        ...     optimizer.step()
        ...     schedule.step()
        0.50
        1.00
        0.67
        0.33
    """
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
        optimizer: Optimiser of the trained parameters.
        steps: Steps to take in all.
        scheduler: Schedule of the learning rate, advanced after each step.
        state: Folder that keeps the state of an unfinished run; it is removed at the end by ``LongRun``.
        seed: Seed of dropout and of whatever else is random in a step.
        save_every: Steps between two saved states.
        max_grad_norm: Norm to which gradients are clipped; ``None`` leaves them as they are.
        description: Words beside the progress bar.
        accelerator: From Accelerate; one that finds the devices itself if not given.
        loss_of: Given the model, examples and the device, the summed loss of the examples.
        count: Given the batch, what the sum is divided by.

    Returns:
        The mean loss of each step, in nats per answer token.

    Example:
        >>> def squared_error(model, batch, device):
        ...     return (model(torch.tensor(batch, device=device)) - 1).square().sum()
        >>> _ = torch.manual_seed(0)
        >>> layer = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> losses = fit(layer, lambda step: [[1.0], [2.0]], optimizer, steps=40, loss_of=squared_error, count=len)
        >>> len(losses), losses[-1] < 0.05
        (40, True)
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
