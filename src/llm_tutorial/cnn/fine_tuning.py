"""What the trainings of page `features` share: OpenMoji's groups as tensors, the networks compared, and a training."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.adapters import add_adapters, probed_network
from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import fit_probe, group_labels, inputs, pooled_features, subjects
from llm_tutorial.cnn.resnet import small_resnet
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

SIDE, SHIFT, BATCH = 64, 4, 16
LAST = (*(f"blocks.{index}." for index in range(11, 16)), "head.", "classifier.")
"""How the names of the weights begin that `FineTuning.last_blocks` leaves free."""


class FineTuning:
    """Networks for OpenMoji's nine groups, made in several ways and trained alike.

    Args:
        long_run: Keeps the state of each training; it is told what data there are.

    Attributes:
        labels: Of each split, (subjects,).
    """

    def __init__(self, long_run: LongRun) -> None:
        self._long_run = long_run
        pictures = {split: subjects(split) for split in ("train", "validation", "test")}
        long_run.data = {split: data_digest([each.code for each in chosen]) for split, chosen in pictures.items()}
        self.labels = {split: group_labels(chosen)[1] for split, chosen in pictures.items()}
        self._images = {split: inputs(chosen, SIDE) for split, chosen in pictures.items()}
        frozen = load_efficientnet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._features = {split: pooled_features(frozen, x, ["head"])["head"] for split, x in self._images.items()}

    def probed(self, chosen: Tensor) -> nn.Module:
        """EfficientNet-Lite0, with a probe of chosen training subjects as its classifier; all of it is free."""
        held_out = self._features["validation"], self.labels["validation"]
        return probed_network(fit_probe(self._features["train"][chosen], self.labels["train"][chosen], held_out))

    def last_blocks(self, chosen: Tensor) -> nn.Module:
        """The same, of which the last blocks, head and classifier are free."""
        model = self.probed(chosen)
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith(LAST))
        return model

    def low_rank(self, chosen: Tensor) -> nn.Module:
        """The same, of which adapters and classifier are free."""
        model = add_adapters(self.probed(chosen), rank=8, alpha=16)
        model.classifier.requires_grad_(True)
        return model

    def small(self, chosen: Tensor) -> nn.Module:
        """A small network that starts from nothing."""
        return small_resnet(stride=2, channels=3, classes=9)

    def measured(self, model: nn.Module, split: str) -> dict[str, float]:
        """Loss and accuracy on a split."""
        few = torch.tensor(self._long_run.few(range(len(self.labels[split])), 30))
        x, y = self._images[split][few].contiguous(memory_format=torch.channels_last), self.labels[split][few]
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(part) for part in x.split(128)])
        return {
            "loss": float(F.cross_entropy(logits, y)),
            "accuracy": float((logits.argmax(-1) == y).double().mean()),
        }

    def run(
        self,
        name: str,
        make: Callable[[Tensor], nn.Module],
        chosen: Tensor,
        rate: float,
        steps: int,
        seed: int,
        split: str = "test",
    ) -> dict[str, Any]:
        """Trains one network and measures it.

        Args:
            name: Of the run.
            make: One of the four ways above.
            chosen: Training subjects, numbers.
            rate: Learning rate, which falls linearly.
            steps: Batches of 16 pictures, each batch shifted alike by up to four pixels.
            seed: Of the weights and the batches.
            split: To measure on.

        Returns:
            Metrics: also the losses, their means over ten steps, the rate, and how many weights were free.
        """
        torch.manual_seed(seed)
        model = make(chosen).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = adamw(model, rate)
        losses = fit(
            model, lambda step: chosen[torch.randint(len(chosen), (BATCH,))].tolist(), optimizer, steps,
            linear_decay(optimizer, steps, warmup=5), self._long_run.state_of(name), seed, save_every=1000,
            description=name, loss_of=self._loss_of, count=len,
        )  # fmt: skip
        return self.measured(model, split) | {
            "losses": losses,
            "curve": [sum(losses[start : start + 10]) / 10 for start in range(0, steps, 10)],
            "rate": rate,
            "free": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        }

    def _loss_of(self, model: nn.Module, chosen: Sequence[int], device: Any) -> Tensor:
        x, y = self._images["train"][list(chosen)], self.labels["train"][list(chosen)]
        down, right = torch.randint(2 * SHIFT + 1, (2,)).tolist()
        x = F.pad(x, [SHIFT] * 4, value=1.0)[..., down : down + SIDE, right : right + SIDE]  # white comes in
        return F.cross_entropy(model(x.contiguous(memory_format=torch.channels_last)), y, reduction="sum")


def accuracy_then_loss(metrics: dict[str, Any]) -> tuple[float, float]:
    """What a rate is chosen by: the accuracy, and of equal ones the loss.

    Example:
        >>> max([{"accuracy": 0.5, "loss": 1.2}, {"accuracy": 0.5, "loss": 1.1}], key=accuracy_then_loss)["loss"]
        1.1
    """
    return metrics["accuracy"], -metrics["loss"]
