"""Is it worth changing the network? EfficientNet-Lite0 frozen, with its last blocks
free, with low-rank adapters, or free as a whole, and a small network that starts from
nothing, as labels grow. Every variant gets its best rate of three or more (never one at
an end) with 20 labels a class, by validation, then three seeds.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch

from llm_tutorial.cnn.features import shots
from llm_tutorial.cnn.fine_tuning import BATCH, FineTuning, accuracy_then_loss
from llm_tutorial.cnn.sweeps import best_rate
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun

SEEDS, COUNTS, MIDDLE = range(3), (5, 20, 10_000), 20

torch.set_num_threads(1)
long_run = LongRun("features_tuned", Path(__file__), probed_steps=2)
tuning = FineTuning(long_run)
VARIANTS = {  # how it is made, the middle of the first three rates, steps
    "all": (tuning.probed, 3e-4, 40),
    "low rank": (tuning.low_rank, 1e-3, 40),
    "last blocks": (tuning.last_blocks, 3e-4, 40),
    "small, from nothing": (tuning.small, 1e-2, 200),
}


# %% measure
def run(name, variant, count, rate, seed, split="test"):
    make, _, steps = VARIANTS[variant]
    chosen = shots(tuning.labels["train"], count, seed)
    return tuning.run(name, make, chosen, rate, steps, seed, split)


def frozen_probe(count, seed):
    chosen = shots(tuning.labels["train"], count, seed)
    return tuning.measured(tuning.probed(chosen), "test")


# %% frozen
for seed in SEEDS:
    for count in COUNTS:
        name = f"frozen, {count} a class, seed {seed}"
        long_run.measure(name, partial(frozen_probe, count, seed))


# %% compare
for variant, (_, middle, _) in VARIANTS.items():
    rate = best_rate(
        long_run, variant, middle,
        lambda name, rate: run(name, variant, MIDDLE, rate, len(SEEDS), "validation"),  # noqa: B023
        accuracy_then_loss,
    )  # fmt: skip
    for count in COUNTS:
        with_seeds(
            long_run, [f"{variant}, {count} a class"], SEEDS,
            lambda name, _, seed: run(name, variant, count, rate, seed),  # noqa: B023
        )  # fmt: skip

long_run.finish(
    seeds=list(SEEDS), counts=list(COUNTS), batch=BATCH, tolerance=0.3,
    steps={variant: steps for variant, (_, _, steps) in VARIANTS.items()},
)  # fmt: skip
