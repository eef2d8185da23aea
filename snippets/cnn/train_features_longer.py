"""The same comparison with five times the steps, and all labels: does more training
change the order? Rates are tuned anew, with all labels.
"""

# %% settings
from pathlib import Path

import torch

from llm_tutorial.cnn.fine_tuning import BATCH, FineTuning, accuracy_then_loss
from llm_tutorial.cnn.sweeps import best_rate
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun

SEEDS = range(3)

torch.set_num_threads(1)
long_run = LongRun("features_longer", Path(__file__), probed_steps=2)
tuning = FineTuning(long_run)
everything = torch.arange(len(tuning.labels["train"]))
VARIANTS = {  # how it is made, the middle of the first three rates, steps
    "all": (tuning.probed, 1e-4, 200),
    "last blocks": (tuning.last_blocks, 1e-4, 200),
    "small, from nothing": (tuning.small, 1e-2, 1000),
}


# %% compare
def run(name, variant, rate, seed, split="test"):
    make, _, steps = VARIANTS[variant]
    return tuning.run(name, make, everything, rate, steps, seed, split)


for variant, (_, middle, _) in VARIANTS.items():
    rate = best_rate(
        long_run, variant, middle,
        lambda name, rate: run(name, variant, rate, len(SEEDS), "validation"),  # noqa: B023
        accuracy_then_loss,
    )  # fmt: skip
    with_seeds(
        long_run, [variant], SEEDS,
        lambda name, variant, seed: run(name, variant, rate, seed),  # noqa: B023
    )  # fmt: skip

long_run.finish(
    seeds=list(SEEDS), batch=BATCH, tolerance=0.3,
    steps={variant: steps for variant, (_, _, steps) in VARIANTS.items()},
)  # fmt: skip
