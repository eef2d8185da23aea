"""What EfficientNet-Lite0 says of drawings that it never saw: probes of its frozen
layers, beside colours and raw pixels. Nothing is trained but logistic regressions, each
with its strength chosen on validation.
"""

# %% settings
from functools import partial
from pathlib import Path

import numpy as np
import torch

from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    LAYERS,
    colour_histogram,
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    shots,
    small_pixels,
    subjects,
)
from llm_tutorial.data.openmoji import drawings, prompt
from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest

SIDES, SEEDS = (64, 96, 128), range(5)
COUNTS = (1, 2, 5, 10, 20, 50, 10_000)  # labels a class; the last is all there are
BLACK = (0, 0, 0)

torch.set_num_threads(1)
long_run = LongRun("features", Path(__file__))
pictures = {split: subjects(split) for split in ("train", "validation", "test")}
labels = {split: group_labels(chosen)[1] for split, chosen in pictures.items()}
codes = {split: [each.code for each in chosen] for split, chosen in pictures.items()}
long_run.data = {split: data_digest(chosen) for split, chosen in codes.items()}
model = load_efficientnet().to(memory_format=torch.channels_last)
stored = {}


# %% what is probed
def features(split, name, side=96, change="color"):
    """Of a layer, of colours or of pixels; kept, for many runs ask for the same."""
    layers = [name] if name in LAYERS else []
    key = (split, side, change)
    if layers and (*key, name) not in stored:
        images = changed(inputs(pictures[split], side, **HOW[change]), change)
        found = pooled_features(model, images, LAYERS)
        stored.update({(*key, layer): each for layer, each in found.items()})
    if not layers and (*key, name) not in stored:
        drawn = drawings(pictures[split], 64, **HOW[change])
        if change == "grey":
            drawn = np.repeat(drawn.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
        how = colour_histogram if name == "colours" else small_pixels
        stored[(*key, name)] = how(drawn)
    return stored[(*key, name)]


HOW = {
    "color": {},
    "line": {"layer": "line"},
    "grey": {},
    "dark ground": {"background": BLACK},
}


def changed(images, change):
    return (
        images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        if change == "grey"
        else images
    )


def few(split):
    return torch.tensor(long_run.few(range(len(labels[split])), 50))


def right(probe, name, **choice):
    chosen = few("test")
    return probe.accuracy(
        features("test", name, **choice)[chosen], labels["test"][chosen]
    )


# %% layers and sizes
def layer(name, side):
    held_out = features("validation", name, side), labels["validation"]
    probe = fit_probe(features("train", name, side), labels["train"], held_out)
    return {
        "validation": probe.accuracy(*held_out),
        "test": right(probe, name, side=side),
        "strength": probe.strength,
    }


found = {}
for side in SIDES:
    for name in LAYERS:
        run = f"{name} at {side}"
        found[name, side] = long_run.measure(run, partial(layer, name, side))
BASELINES = ("colours", "pixels")
for name in BASELINES:
    long_run.measure(name, partial(layer, name, 64))
# the best layer at 96, by validation; the last one is what most people take
best = max(LAYERS, key=lambda name: found[name, 96]["validation"])


# %% few labels
def few_shot(name, seed):
    held_out = features("validation", name), labels["validation"]
    accuracies = []
    for count in COUNTS:
        chosen = shots(labels["train"], count, seed)
        known = features("train", name)[chosen]
        probe = fit_probe(known, labels["train"][chosen], held_out)
        accuracies.append(right(probe, name))
    return {"test": accuracies}


for seed in SEEDS:
    for name in ("head", best, *BASELINES):
        long_run.measure(f"few {name}, seed {seed}", partial(few_shot, name, seed))


# %% other domains
def shifted(name, seen):
    held_out = features("validation", name), labels["validation"]
    known = torch.cat([features("train", name, change=each) for each in seen])
    answers = labels["train"].repeat(len(seen))
    if seen == ("line",):
        held_out = features("validation", name, change="line"), labels["validation"]
    probe = fit_probe(known, answers, held_out)
    return {change: right(probe, name, change=change) for change in HOW}


for seen in (("color",), ("line",), ("color", "line")):
    for name in ("head", best, *BASELINES):
        run = f"{name}, seen {' and '.join(seen)}"
        long_run.measure(run, partial(shifted, name, seen))


# %% names
@torch.no_grad()
def of_names(split):
    encoder, tokenizer = load_encoder(), load_tokenizer("minilm")
    found = []
    names = [prompt(picture) for picture in pictures[split]]
    for start in range(0, len(names), 128):
        batch = tokenizer(names[start : start + 128], padding=True, return_tensors="pt")
        states = encoder(**batch).last_hidden_state
        real = batch["attention_mask"][..., None]
        found.append((states * real).sum(1) / real.sum(1))
    return torch.cat(found)


def both():
    texts = {split: of_names(split) for split in pictures}
    images = {split: features(split, "head") for split in pictures}
    joined = {split: torch.cat([images[split], texts[split]], 1) for split in pictures}
    chosen, shares, results = few("test"), [], {}
    for name, each in {"picture": images, "name": texts, "joined": joined}.items():
        held_out = each["validation"], labels["validation"]
        probe = fit_probe(each["train"], labels["train"], held_out)
        shares.append(probe.scores(each["test"][chosen]).log_softmax(-1))
        results[name] = (shares[-1].argmax(-1) == labels["test"][chosen]).double()
    summed = (shares[0] + shares[1]).argmax(-1)
    results["summed"] = (summed == labels["test"][chosen]).double()
    accuracies = {name: float(each.mean()) for name, each in results.items()}
    gains = {
        f"{name} over name": [float(gain.mean()), float(gain.std() / len(gain) ** 0.5)]
        for name, each in results.items()
        for gain in (each - results["name"],)
    }  # and the standard error of the paired difference
    return accuracies | gains


long_run.measure("picture and name", both)
long_run.finish(
    seeds=list(SEEDS), steps=0, best=best, tolerance=0.3, counts=list(COUNTS)
)
