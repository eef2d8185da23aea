import pytest

from llm_tutorial.experiments import by_seed, tune, with_seeds


class Runs:
    """Measures each run once, as a long run does."""

    def __init__(self):
        self.runs = {}

    def measure(self, run, function):
        if run not in self.runs:
            self.runs[run] = function()
        return self.runs[run]


def test_a_variant_is_tuned_on_the_metric_that_is_named():
    runs = Runs()
    losses = {1e-3: 0.5, 2e-3: 0.25, 4e-3: 0.75}
    assert tune(runs, "dense", losses, lambda run, rate: {"loss": losses[rate]}, by="loss", best=min) == 2e-3
    assert tune(runs, "dense", losses, lambda run, rate: pytest.fail(run), by="loss") == 4e-3
    assert list(runs.runs) == ["dense, rate 0.001", "dense, rate 0.002", "dense, rate 0.004"]


def test_every_variant_gets_every_seed_seed_by_seed():
    runs = Runs()
    found = with_seeds(runs, ["dense", "sparse"], [0, 1], lambda run, variant, seed: {"of": (variant, seed)})
    assert list(runs.runs) == ["dense, seed 0", "sparse, seed 0", "dense, seed 1", "sparse, seed 1"]
    assert found["sparse"] == [{"of": ("sparse", 0)}, {"of": ("sparse", 1)}]


def test_a_manifest_gives_a_variant_by_seed_and_names_those_it_has():
    manifest = {"seeds": [0, 1], "metrics": {"dense, relations, seed 0": {}, "dense, seed 1": {"f1": 1.0}}}
    assert by_seed(manifest, "dense") == [{"f1": 1.0}]
    with pytest.raises(ValueError, match=r"there are \['dense', 'dense, relations'\]"):
        by_seed(manifest, "window")
