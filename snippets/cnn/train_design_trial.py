"""The recipe on a task that no sweep used: OpenMoji's nine groups at 32 × 32.

One picture a subject; rates are chosen on a part of the training subjects, and the test
is on subjects that look like none of them. Each design gets its best rate of three or
more by the loss on validation pictures, then three seeds, within one budget.
"""

# %% settings
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.design import Design, parameters, within
from llm_tutorial.cnn.sweeps import best_rate, bits, outputs_of, train
from llm_tutorial.data.openmoji import drawings, openmoji
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest

SEEDS, STEPS, BATCH, BUDGET, SHAPE = range(3), 200, 32, 6000, (3, 32, 32)
DESIGNS = {
    "recipe": Design(stem=2, pooling="max"),
    "mean pooling": Design(stem=2, pooling="mean"),
    "attention pooling": Design(stem=2, pooling="attention"),
    "flatten": Design(stem=2, pooling="flatten"),
    "2 layers a stage": Design(stem=2, pooling="max", layers=2),
    "kernel 5": Design(stem=2, pooling="max", kernel=5),
    "separable": Design(stem=2, pooling="max", separable=True),
}

torch.set_num_threads(1)
long_run = LongRun("design_trial", Path(__file__), probed_steps=3)
few = long_run.few


def one_each(pictures):
    """The first picture of each subject, and none that is drawn like another."""
    found = {picture.base: picture for picture in reversed(pictures)}
    return list({picture.drawing: picture for picture in found.values()}.values())


known = one_each(openmoji("train"))
torch.manual_seed(0)
order = torch.randperm(len(known)).tolist()
parts = {
    "train": [known[at] for at in order[300:]],
    "validation": [known[at] for at in order[:300]],
    "test": one_each(openmoji("validation")) + one_each(openmoji("test")),
}
groups = sorted({picture.group for picture in known})
images, labels = {}, {}
for part, pictures in parts.items():
    pixels = torch.from_numpy(drawings(pictures, 32)).permute(0, 3, 1, 2)
    images[part] = pixels.float() / 127.5 - 1
    labels[part] = torch.tensor([groups.index(p.group) for p in pictures])
bases = [{picture.base for picture in parts[part]} for part in parts]
assert not bases[0] & bases[1] and not (bases[0] | bases[1]) & bases[2]
long_run.data = {
    part: data_digest([picture.code for picture in parts[part]]) for part in parts
}


# %% train and measure
def draw():
    at = torch.randint(len(labels["train"]), (BATCH,))
    return images["train"][at], labels["train"][at]


def measure(run, variant, rate, seed, part):
    design = within(DESIGNS[variant], BUDGET, SHAPE, len(groups))
    torch.manual_seed(seed)
    model = design.build(SHAPE, len(groups))
    losses = train(
        model, draw, F.cross_entropy, rate, STEPS, seed, long_run.state_of(run), run
    )
    at = torch.tensor(few(range(len(labels[part])), 30))
    said, y = outputs_of(model, images[part][at]), labels[part][at]
    right = said.argmax(-1) == y
    return {
        "losses": losses, "rate": rate, "parameters": parameters(model),
        "loss": float(F.cross_entropy(said, y)),
        "accuracy": float(right.double().mean()),
        "right": bits(right),
    }  # fmt: skip


# %% compare
for variant in DESIGNS:
    rate = best_rate(
        long_run, variant, 3e-2,
        lambda run, rate, v=variant: measure(run, v, rate, len(SEEDS), "validation"),
    )  # fmt: skip
    with_seeds(
        long_run, [variant], SEEDS,
        lambda run, v, seed, r=rate: measure(run, v, r, seed, "test"),
    )  # fmt: skip
counts = {part: len(labels[part]) for part in parts}
shares = torch.bincount(labels["test"], minlength=len(groups)) / counts["test"]
long_run.finish(
    seeds=list(SEEDS), steps=STEPS, tolerance=0.3, pictures=counts,
    commonest=float(shares.max()),
)  # fmt: skip
