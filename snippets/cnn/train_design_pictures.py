"""Digits under one budget: kernel, depth, width, separable, pooling.

Each design gets its best rate of three or more by the loss on 400 validation digits,
then three seeds. Trained on the first 1,000 digits, so that 3,600 are left to test on;
no augmentation. Fourteen designs, about 90 runs of 1 to 3 seconds of one core.
"""

# %% settings
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.design import Design, parameters, within
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.sweeps import best_rate, bits, outputs_of, train
from llm_tutorial.digits import digit_tensors
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest

SEEDS, STEPS, BATCH, COUNT = range(3), 200, 32, 1000
SHAPE, CLASSES, NEAREST = (1, 28, 28), 10, 10
SIZES = {"small": 2000, "middle": 6000, "large": 18000}
DESIGNS = {  # and the budget of parameters
    **{f"full, {name}": (Design(stem=2), size) for name, size in SIZES.items()},
    **{
        f"separable, {name}": (Design(stem=2, separable=True), size)
        for name, size in SIZES.items()
    },
    "2 layers a stage": (Design(stem=2, layers=2), 6000),
    "4 layers a stage": (Design(stem=2, layers=4), 6000),
    "max pooling": (Design(stem=2, pooling="max"), 6000),
    "attention pooling": (Design(stem=2, pooling="attention"), 6000),
    "flatten": (Design(stem=2, pooling="flatten"), 6000),
    # one stage at 14 × 14 places, of which each sees 27 × 27 pixels in the end
    "6 layers of 3": (Design((16,), 7, 3, stem=2, first=3), 6000),
    "3 layers of 5": (Design((16,), 4, 5, stem=2, first=3), 6000),
    "1 layer of 13": (Design((16,), 2, 13, stem=2, first=3), 6000),
}

torch.set_num_threads(1)
long_run = LongRun("design_pictures", Path(__file__), probed_steps=3)
few = long_run.few
images, labels = zip(*map(digit_tensors, ("train", "validation", "test")), strict=True)
long_run.data = {
    "images": data_digest((255 * torch.cat(images)).round().int().tolist()),
    "labels": data_digest(torch.cat(labels).tolist()),
}
VALIDATION = images[1], labels[1]
UNUSED = tuple(torch.cat([p[0][COUNT:], p[2]]) for p in (images, labels))


# %% train and measure
def draw():
    at = torch.randint(COUNT, (BATCH,))
    return images[0][at], labels[0][at]


def nearest(model, x, y):
    """Of the ten digits whose pooled features are nearest, how many are the same?"""
    features = F.normalize(outputs_of(model[:-1], x), dim=-1)
    alike = features @ features.T
    alike.fill_diagonal_(-2)  # not itself
    found = y[alike.topk(min(NEAREST, len(y) - 1), dim=-1).indices]
    return float((found == y[:, None]).double().mean())


def measure(run, variant, rate, seed, data):
    design, budget = DESIGNS[variant]
    design = within(design, budget, SHAPE, CLASSES)
    torch.manual_seed(seed)
    model = design.build(SHAPE, CLASSES)
    losses = train(
        model, draw, F.cross_entropy, rate, STEPS, seed, long_run.state_of(run), run
    )
    at = torch.tensor(few(range(len(data[1])), 50))
    x, y = data[0][at], data[1][at]
    said = outputs_of(model, x)
    metrics = {
        "losses": losses, "rate": rate, "widths": list(design.widths),
        "loss": float(F.cross_entropy(said, y)),
        "accuracy": float((said.argmax(-1) == y).double().mean()),
        "training loss": sum(losses[-20:]) / 20,
    }  # fmt: skip
    if data is UNUSED:
        layers = inspect(model, torch.zeros(1, *SHAPE)).layers
        last = [layer for layer in layers if "Conv" in layer.kind][-1]
        metrics |= {
            "parameters": parameters(model),
            "products": sum(layer.multiplications for layer in layers),
            "field": last.receptive_field[0],
            "nearest": nearest(model, x[:1000], y[:1000]),
            "right": bits(said.argmax(-1) == y),
        }
    return metrics


# %% compare
for variant in DESIGNS:
    rate = best_rate(
        long_run, variant, 3e-2,
        lambda run, rate, v=variant: measure(run, v, rate, len(SEEDS), VALIDATION),
    )  # fmt: skip
    with_seeds(
        long_run, [variant], SEEDS,
        lambda run, v, seed, r=rate: measure(run, v, r, seed, UNUSED),
    )  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
