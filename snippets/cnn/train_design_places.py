"""Large pictures: which digit is it, and where? Poolings under one budget.

A digit stands somewhere on a canvas of 56 × 56, among pieces of strokes. Each design
gets its best rate of three or more by the loss on canvases of validation digits, then
three seeds. Five designs, about 35 runs of 2 seconds of one core.
"""

# %% settings
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.design import Design, parameters, within
from llm_tutorial.cnn.sweeps import (
    SIDE,
    best_rate,
    bits,
    canvases,
    outputs_of,
    train,
)
from llm_tutorial.digits import digit_tensors
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest

SEEDS, STEPS, BATCH, BUDGET, SHAPE = range(3), 300, 32, 6000, (1, SIDE, SIDE)
WHICH = ("mean", "max")
WHERE = ("mean", "flatten", "place")

torch.set_num_threads(1)
long_run = LongRun("design_places", Path(__file__), probed_steps=3)
few = long_run.few
images, labels = {}, {}
for split in ("train", "validation", "test"):
    images[split], labels[split] = digit_tensors(split)
torch.manual_seed(0)
made = {
    split: canvases(images[split], count)
    for split, count in (("validation", 600), ("test", 2000))
}
long_run.data = {
    split: data_digest((255 * made[split][0]).round().int().tolist()) for split in made
}


# %% train and measure
def measure(run, variant, rate, seed, split):
    task, _, pooling = variant.partition(": ")
    classify = task == "which"
    outputs = 10 if classify else 2
    design = Design(kernel=5, stem=2, pooling=pooling)
    torch.manual_seed(seed)
    model = within(design, BUDGET, SHAPE, outputs).build(SHAPE, outputs)

    def draw():
        x, which, where = canvases(images["train"], BATCH)
        return x, labels["train"][which] if classify else where

    losses = train(
        model, draw, F.cross_entropy if classify else F.mse_loss, rate, STEPS, seed,
        long_run.state_of(run), run,
    )  # fmt: skip
    x, which, where = made[split]
    at = torch.tensor(few(range(len(x)), 30))
    said = outputs_of(model, x[at])
    metrics = {"losses": losses, "rate": rate, "parameters": parameters(model)}
    if classify:
        y = labels[split][which[at]]
        right = said.argmax(-1) == y
        return metrics | {
            "loss": float(F.cross_entropy(said, y)),
            "accuracy": float(right.double().mean()),
            "right": bits(right),
        }
    off = (said - where[at]).norm(dim=-1) * SIDE / 2  # in pixels
    return metrics | {
        "loss": float(F.mse_loss(said, where[at])),
        "off": float(off.mean()),
        "median": float(off.median()),
    }


# %% compare
for variant in [f"which: {p}" for p in WHICH] + [f"where: {p}" for p in WHERE]:
    rate = best_rate(
        long_run, variant, 1e-2,
        lambda run, rate, v=variant: measure(run, v, rate, len(SEEDS), "validation"),
    )  # fmt: skip
    with_seeds(
        long_run, [variant], SEEDS,
        lambda run, v, seed, r=rate: measure(run, v, r, seed, "test"),
    )  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
