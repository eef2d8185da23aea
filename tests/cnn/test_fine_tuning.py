"""Each way of making a network leaves free what it says, starts where the probe ends, and is trained alike twice."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_tutorial.cnn import fine_tuning
from llm_tutorial.cnn.features import subjects
from llm_tutorial.cnn.fine_tuning import LAST, FineTuning, accuracy_then_loss
from llm_tutorial.cnn.sweeps import best_rate


class Run:
    """In place of a long run: keeps nothing, measures on everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data: dict[str, str] = {}

    def few(self, items: Any, count: int) -> Any:
        return items

    def state_of(self, name: str) -> Path:
        return self.folder / name

    def measure(self, name: str, train: Any) -> Any:
        return train()


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> FineTuning:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tuning, "subjects", lambda split: subjects(split)[::25])
        return FineTuning(Run(tmp_path_factory.mktemp("state")))  # type: ignore[arg-type]


def everything(tuning: FineTuning) -> torch.Tensor:
    return torch.arange(len(tuning.labels["train"]))


def test_free_is_what_the_name_says(tuning: FineTuning) -> None:
    free = {
        way: {
            name for name, weight in getattr(tuning, way)(everything(tuning)).named_parameters() if weight.requires_grad
        }
        for way in ("probed", "last_blocks", "low_rank")
    }
    assert free["last_blocks"] == {name for name in free["probed"] if name.startswith(LAST)}
    assert all(".down." in name or ".up." in name or name.startswith("classifier.") for name in free["low_rank"])
    assert not free["last_blocks"] >= free["probed"]


def test_fine_tunings_start_where_the_probe_ends(tuning: FineTuning) -> None:
    torch.manual_seed(0)
    [first, *others] = (
        tuning.measured(getattr(tuning, way)(everything(tuning)), "validation")
        for way in ("probed", "last_blocks", "low_rank")
    )
    for other in others:
        assert other == pytest.approx(first, abs=1e-4)


def test_the_same_seed_trains_the_same(tuning: FineTuning) -> None:
    once, again = (tuning.run(name, tuning.small, everything(tuning), 1e-2, 3, seed=4) for name in ("once", "again"))
    assert once == again
    assert len(once["losses"]) == 3


def test_a_rate_may_be_chosen_by_accuracy_first() -> None:
    found = {3e-4: (0.5, 1.0), 1e-3: (0.6, 1.4), 3e-3: (0.6, 1.2), 1e-2: (0.2, 0.1)}

    def measure(name: str, rate: float) -> dict[str, float]:
        accuracy, loss = found[rate]
        return {"accuracy": accuracy, "loss": loss}

    run: Any = Run(Path())
    assert best_rate(run, "any", 1e-3, measure, accuracy_then_loss) == 3e-3
