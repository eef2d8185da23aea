"""Vision Transformer against CNN with four times the steps of train_vit.py.

Affine augmentation; the rate is the best of three or more at 4,000 pictures, by the
loss on validation, and serves 1,000 pictures as well; three seeds. Plan: 18 runs of
75 s, 25 minutes of one core.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.vit import (
    VisionConfig,
    VisionTransformer,
    convolutional,
    digit_tensors,
)
from llm_tutorial.transformer.vit_training import trained

STEPS, SEEDS, SIZES = 3200, range(3), (1000, 4000)
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of learning rates
MODELS = {"ViT": lambda: VisionTransformer(VisionConfig()), "CNN": convolutional}

torch.set_num_threads(1)
long_run = LongRun("vit_longer", Path(__file__), probed_steps=4)
digits = {split: digit_tensors(split) for split in ("train", "validation", "test")}
long_run.data = {
    split: data_digest([(255 * x).round().int().tolist(), y.tolist()])
    for split, (x, y) in digits.items()
}


# %% train and measure
def run(name, model, rate, seed, count, split):
    torch.manual_seed(seed)
    network = MODELS[model]()
    sample = torch.randperm(4000, generator=torch.Generator().manual_seed(seed))
    images, labels = (each[sample[:count]] for each in digits["train"])
    state = long_run.state_of(name)
    losses = trained(network, images, labels, rate, seed, STEPS, "affine", state, name)
    images, labels = digits[split]
    few = torch.tensor(long_run.few(range(len(labels)), 50))
    with torch.no_grad():
        logits = torch.cat([network.cpu()(part) for part in images[few].split(200)])
    return {
        "losses": losses,
        "rate": rate,
        "loss": float(F.cross_entropy(logits, labels[few])),
        "accuracy": float((logits.argmax(-1) == labels[few]).double().mean()),
        "train_loss": sum(losses[-50:]) / 50,
    }


def best_rate(model, at):
    """Three rates round the middle, and further while the best one is at an end."""
    tried = {}
    while True:
        for place in range(max(at - 1, 0), min(at + 2, len(LADDER))):
            name = f"{model}, rate {LADDER[place]:g}"
            function = partial(
                run, name, model, LADDER[place], len(SEEDS), 4000, "validation"
            )
            if place not in tried:
                tried[place] = long_run.measure(name, function)["loss"]
        if (best := min(tried, key=tried.__getitem__)) == at:
            return LADDER[at]
        at = best


for model in MODELS:
    rate = best_rate(model, LADDER.index(3e-3))
    for count in SIZES[::-1]:
        with_seeds(
            long_run, [f"{model}, {count} pictures"], SEEDS,
            lambda name, variant, seed, model=model, rate=rate, count=count: run(
                name, model, rate, seed, count, "test"
            ),
        )  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
