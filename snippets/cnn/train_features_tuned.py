"""Is it worth changing the network? EfficientNet-Lite0 frozen, with its last blocks
free, with low-rank adapters, or free as a whole, and a small network that starts from
nothing, as labels grow. Every variant gets its best rate of three or more (never one at
an end) with 20 labels a class, by validation, then three seeds.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.adapters import add_adapters, probed_network
from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    shots,
    subjects,
)
from llm_tutorial.cnn.resnet import small_resnet
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

SEEDS, COUNTS, MIDDLE, BATCH, SHIFT = range(3), (5, 20, 10_000), 20, 16, 4
LADDER = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of learning rates
LAST = (*(f"blocks.{index}." for index in range(11, 16)), "head.", "classifier.")

torch.set_num_threads(1)
long_run = LongRun("features_tuned", Path(__file__), probed_steps=2)
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


def low_rank(chosen):
    model = add_adapters(probed(chosen), rank=8, alpha=16)
    model.classifier.requires_grad_(True)
    return model


def small(chosen):
    return small_resnet(stride=2, channels=3, classes=9)


VARIANTS = {  # how it is made, the middle of the first three rates, steps
    "all": (probed, 3e-4, 40),
    "low rank": (low_rank, 1e-3, 40),
    "last blocks": (last_blocks, 3e-4, 40),
    "small, from nothing": (small, 1e-2, 200),
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


def run(name, variant, count, rate, seed, split="test"):
    make, _, steps = VARIANTS[variant]
    chosen = shots(labels["train"], count, seed)
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
                once = partial(run, name, variant, MIDDLE, rate, seed, "validation")
                found = long_run.measure(name, once)
                tried[place] = (found["accuracy"], -found["loss"])
        if (best := max(tried, key=tried.__getitem__)) == at:
            return LADDER[at]
        at = best


# %% frozen
def frozen_probe(count, seed):
    chosen = shots(labels["train"], count, seed)
    return measured(probed(chosen), "test")


for seed in SEEDS:
    for count in COUNTS:
        name = f"frozen, {count} a class, seed {seed}"
        long_run.measure(name, partial(frozen_probe, count, seed))


# %% compare
for variant in VARIANTS:
    rate = best_rate(variant)
    for count in COUNTS:
        with_seeds(
            long_run, [f"{variant}, {count} a class"], SEEDS,
            lambda name, _, seed: run(name, variant, count, rate, seed),  # noqa: B023
        )  # fmt: skip

long_run.finish(
    seeds=list(SEEDS), counts=list(COUNTS), batch=BATCH, tolerance=0.3,
    steps={variant: steps for variant, (_, _, steps) in VARIANTS.items()},
)  # fmt: skip
