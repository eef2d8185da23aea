"""Training of a small picture classifier from nothing, for the comparisons of page `vit`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.vit import warped


def trained(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    rate: float,
    seed: int,
    steps: int,
    kind: str,
    state: Path | None = None,
    description: str = "training",
    batch: int = 32,
    warmup: int = 50,
) -> list[float]:
    """Trains a classifier in place, by AdamW with a warm-up and a linear fall.

    Args:
        network: Gives scores, (batch, classes).
        images: (picture, channels, height, width).
        labels: (picture,).
        rate: Highest learning rate.
        seed: Of the batches and the augmentation; that of the first weights is the caller's.
        steps: Of one batch each.
        kind: Augmentation, as `warped` knows it.
        state: Folder that keeps the state of an unfinished run.
        description: Words beside the progress bar.
        batch: Pictures a step.
        warmup: Steps of the rise.

    Returns:
        The loss of each step.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object at ...>
        >>> images, labels = torch.eye(4).view(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> losses = trained(network, images, labels, 0.1, 0, 60, "none", batch=4, warmup=5)
        >>> len(losses), losses[-1] < 0.1 < losses[0]
        (60, True)
    """
    optimizer = adamw(network, rate)

    def loss_of(network: nn.Module, batch_of: list[int], device: torch.device) -> Tensor:
        x = warped(images[batch_of], kind).to(device)
        return F.cross_entropy(network(x), labels[batch_of].to(device), reduction="sum")

    return fit(
        network, lambda step: torch.randint(len(labels), (batch,)).tolist(), optimizer, steps,
        linear_decay(optimizer, steps, warmup), state, seed, save_every=200, description=description,
        loss_of=loss_of, count=len,  # type: ignore[arg-type]
    )  # fmt: skip
