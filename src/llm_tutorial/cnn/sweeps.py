"""What the sweeps of page `design` share: a training, the search for a rate, and data built to know the answer."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.runs import LongRun
from llm_tutorial.training import adamw, fit, linear_decay

LADDER = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Learning rates, a factor of about three apart."""
GAP = 0.1
"""Probability of a pulse at a place of `pulses`."""


def lowest_loss(metrics: dict[str, Any]) -> float:
    """The validation loss with its sign turned, as what is largest is best.

    Example:
        >>> lowest_loss({"loss": 0.5, "accuracy": 0.9})
        -0.5
    """
    return -float(metrics["loss"])


def best_rate(
    long_run: LongRun,
    variant: str,
    middle: float,
    measure: Callable[[str, float], dict[str, Any]],
    by: Callable[[dict[str, Any]], Any] = lowest_loss,
) -> float:
    """The best rate on validation: three of the ladder, and further while the best one is at an end.

    Args:
        long_run: Measures each run once.
        variant: What is tuned.
        middle: The second of the first three rates, one of `LADDER`.
        measure: Given the run's name and a rate, trains and returns metrics, with the validation ``loss`` among them.
        by: Of metrics, what is largest for the best rate.

    Example:
        >>> from types import SimpleNamespace
        >>> long_run = SimpleNamespace(measure=lambda run, train: train())
        >>> best_rate(long_run, "full", 1e-2, lambda run, rate: {"loss": abs(rate - 0.1)})
        0.1
    """
    at, tried = LADDER.index(middle), dict[int, Any]()
    while True:
        for place in range(max(at - 1, 0), min(at + 2, len(LADDER))):
            if place not in tried:
                run = f"{variant}, rate {LADDER[place]:g}"
                tried[place] = by(long_run.measure(run, partial(measure, run, LADDER[place])))
        best = max(tried, key=tried.__getitem__)
        if best == at:
            return LADDER[at]
        at = best


def train(
    model: nn.Module,
    draw: Callable[[], tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    rate: float,
    steps: int,
    seed: int,
    state: Path | None = None,
    description: str = "training",
) -> list[float]:
    """AdamW with a rate that rises for 20 steps and then falls, on batches drawn anew; the model is in evaluation after.

    Args:
        model: What is trained.
        draw: Gives inputs and targets of a batch; torch's generator is seeded by the step before.
        loss: Mean loss of outputs and targets.
        rate: Learning rate.
        steps: Steps.
        seed: Of the batches.
        state: Folder from which an interrupted training goes on.
        description: For the bar of progress.

    Returns:
        The loss of each step.
    """
    optimizer = adamw(model, rate)

    def loss_of(model: nn.Module, batch: Sequence[Any], device: Any = None) -> Tensor:
        x, y = (torch.stack(part).to(device) for part in zip(*batch, strict=True))
        return loss(model(x), y) * len(batch)

    return fit(
        model, lambda step: list(zip(*draw(), strict=True)), optimizer, steps, linear_decay(optimizer, steps, warmup=20),
        state, seed, save_every=200, description=description, loss_of=loss_of, count=len,
    )  # fmt: skip


@torch.no_grad()
def outputs_of(model: nn.Module, x: Tensor, size: int = 200) -> Tensor:
    """What a model says of many inputs, some at a time."""
    return torch.cat([model(part) for part in x.split(size)])


def bits(right: Tensor) -> str:
    """Which answers are right, a bit each, as a hexadecimal number; `unpacked` reads it.

    Example:
        >>> bits(torch.tensor([True, False, True, True])), unpacked("b", 4).tolist()
        ('b', [True, False, True, True])
    """
    return f"{int(''.join(str(int(r)) for r in right.tolist()), 2):x}"


def unpacked(text: str, count: int) -> Tensor:
    """The answers that `bits` wrote down: (count,) of truth values.

    Args:
        text: From `bits`.
        count: How many there are.
    """
    return torch.tensor([bit == "1" for bit in f"{int(text, 16):0{count}b}"])


def cued(count: int, places: int, energy: float = 6.0, length: int = 128, motif: int = 8) -> tuple[Tensor, Tensor]:
    """Signals of white noise; every second one hides a motif, at one place or spread thin over many.

    The strength at each of the places is ``energy / √places``, so that the motifs of a signal have the same sum of
    squares however many there are.

    Args:
        count: Signals.
        places: Copies of the motif, without overlap.
        energy: Root of the sum of squares of all motifs; the noise has a standard deviation of 1.
        length: Of a signal.
        motif: Length of the motif, one period of a wave.

    Returns:
        Signals (count, 1, length), and whether each has the motif (count,).

    Raises:
        ValueError: More copies than fit.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, y = cued(1000, places=4)
        >>> gain = x[y == 1].square().sum(-1).mean() - x[y == 0].square().sum(-1).mean()
        >>> bool(abs(gain - 36) < 5)
        True
    """
    slots = length // motif
    if not 1 <= places <= slots:
        raise ValueError(
            f"{places} motifs of {motif} in a signal of {length}: 1 to {slots}\n长 {length} 的信号里放 {places} 个长 {motif} 的图样：应为 1 到 {slots} 个"
        )
    wave = torch.sin(torch.arange(motif) * 2 * torch.pi / motif)
    wave = wave / wave.norm()
    labels = torch.arange(count) % 2
    chosen = torch.rand(count, slots).argsort(1) < places  # (count, slots)
    copies = (chosen[..., None] * wave).flatten(1) * labels[:, None]
    start = torch.randint(motif, (count,))[:, None]
    at = (torch.arange(length) - start) % length  # the grid of slots begins anywhere
    return (torch.randn(count, length) + energy / places**0.5 * copies.gather(1, at))[:, None], labels


def pulses(count: int, length: int = 128) -> tuple[Tensor, Tensor]:
    """Noise with rare pulses up or down; the label of each place is the sign of the last pulse up to it.

    Args:
        count: Signals.
        length: Of a signal; what stands before the first pulse has the label -1, which no loss counts.

    Returns:
        Signals (count, 1, length), and labels (count, length): 1 up, 0 down, -1 none yet.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, y = pulses(2, length=40)
        >>> x.shape, y.shape
        (torch.Size([2, 1, 40]), torch.Size([2, 40]))
    """
    at = torch.rand(count, length) < GAP
    sign = torch.randint(2, (count, length))
    last = torch.where(at, torch.arange(length), -1).cummax(1).values  # (count, length)
    labels = torch.where(last < 0, -1, sign.gather(1, last.clamp(min=0)))
    return (3 * at * (2 * sign - 1) + 0.5 * torch.randn(count, length))[:, None], labels


def ceiling(reach: int) -> float:
    """The best share of labels of `pulses` that a model can have right if it sees so many places before each.

    The last pulse is further away than `reach` places with probability ``(1 - GAP) ** (reach + 1)``; then a guess is
    right every second time. (The beginning of a signal is left out.)

    Example:
        >>> f"{ceiling(4):.2f} {ceiling(15):.2f}"
        '0.70 0.91'
    """
    return 1 - (1 - GAP) ** (reach + 1) / 2


def place_loss(said: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of labels at every place, those of -1 left out: (batch, classes, length), (batch, length)."""
    return F.cross_entropy(said, labels, ignore_index=-1)
