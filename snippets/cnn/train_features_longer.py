"""The same comparison with five times the steps, and all labels: does more training
change the order? Rates are tuned anew, with all labels.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.adapters import probed_network
from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    subjects,
)
from llm_tutorial.cnn.resnet import small_resnet
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

SEEDS, BATCH, SHIFT = range(3), 16, 4
LADDER = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of learning rates
LAST = (*(f"blocks.{index}." for index in range(11, 16)), "head.", "classifier.")

torch.set_num_threads(1)
long_run = LongRun("features_longer", Path(__file__), probed_steps=2)
splits = ("train", "validation", "test")
pictures = {split: subjects(split) for split in splits}
labels = {split: group_labels(chosen)[1] for split, chosen in pictures.items()}
images = {split: inputs(chosen, 64) for split, chosen in pictures.items()}
codes = {split: [each.code for each in chosen] for split, chosen in pictures.items()}
long_run.data = {split: data_digest(chosen) for split, chosen in codes.items()}
frozen = load_efficientnet().to(memory_format=torch.channels_last)
features = {
    split: pooled_features(frozen, images[split], ["head"])["head"] for split in splits
}


# %% networks
def probed(chosen):
    held_out = features["validation"], labels["validation"]
    probe = fit_probe(features["train"][chosen], labels["train"][chosen], held_out)
    return probed_network(probe)


def last_blocks(chosen):
    model = probed(chosen)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith(LAST))
    return model


def small(chosen):
    return small_resnet(stride=2, channels=3, classes=9)


VARIANTS = {  # how it is made, the middle of the first three rates, steps
    "all": (probed, 1e-4, 200),
    "last blocks": (last_blocks, 1e-4, 200),
    "small, from nothing": (small, 1e-2, 1000),
}


# %% train and measure
def scores(model, x):
    model.eval()
    with torch.no_grad():
        parts = x.contiguous(memory_format=torch.channels_last).split(128)
        return torch.cat([model(part) for part in parts])


def measured(model, split):
    few = torch.tensor(long_run.few(range(len(labels[split])), 30))
    logits, y = scores(model, images[split][few]), labels[split][few]
    return {
        "loss": float(F.cross_entropy(logits, y)),
        "accuracy": float((logits.argmax(-1) == y).double().mean()),
    }


def loss_of(model, chosen, device):
    x, y = images["train"][chosen], labels["train"][chosen]
    down, right = torch.randint(2 * SHIFT + 1, (2,)).tolist()  # one shift a batch
    x = F.pad(x, [SHIFT] * 4, value=1.0)[..., down : down + 64, right : right + 64]
    x = x.contiguous(memory_format=torch.channels_last)
    return F.cross_entropy(model(x), y, reduction="sum")


def run(name, variant, rate, seed, split="test"):
    make, _, steps = VARIANTS[variant]
    chosen = torch.arange(len(labels["train"]))
    torch.manual_seed(seed)
    model = make(chosen).to(memory_format=torch.channels_last)
    free = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    optimizer = adamw(model, rate)
    losses = fit(
        model, lambda step: chosen[torch.randint(len(chosen), (BATCH,))].tolist(),
        optimizer, steps, linear_decay(optimizer, steps, warmup=5),
        long_run.state_of(name), seed, save_every=1000, description=name,
        loss_of=loss_of, count=len,
    )  # fmt: skip
    curve = [sum(losses[i : i + 10]) / 10 for i in range(0, steps, 10)]
    return measured(model, split) | {
        "losses": losses, "curve": curve, "rate": rate, "free": free,
    }  # fmt: skip


def best_rate(variant):
    """Three rates round the middle, and further while the best one is at an end."""
    at, tried = LADDER.index(VARIANTS[variant][1]), {}
    while True:
        for place in range(max(at - 1, 0), min(at + 2, len(LADDER))):
            if place not in tried:
                name, rate = f"{variant}, rate {LADDER[place]:g}", LADDER[place]
                seed = len(SEEDS)
                once = partial(run, name, variant, rate, seed, "validation")
                found = long_run.measure(name, once)
                tried[place] = (found["accuracy"], -found["loss"])
        if (best := max(tried, key=tried.__getitem__)) == at:
            return LADDER[at]
        at = best


# %% compare
for variant in VARIANTS:
    rate = best_rate(variant)
    with_seeds(
        long_run, [variant], SEEDS,
        lambda name, variant, seed: run(name, variant, rate, seed),  # noqa: B023
    )  # fmt: skip

long_run.finish(
    seeds=list(SEEDS), batch=BATCH, tolerance=0.3,
    steps={variant: steps for variant, (_, _, steps) in VARIANTS.items()},
)  # fmt: skip
