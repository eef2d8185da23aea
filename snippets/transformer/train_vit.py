"""Vision Transformer against CNN: digits from 100 to 4,000 pictures, and a relation.

Both spend as many multiplications on a picture. Each gets its best rate of four at
1,000 pictures, then its best of three augmentations at each number of pictures, by the
loss on validation; then three seeds. Beside it: pixels shuffled by one permutation, CLS
against mean, and a task that only a relation across the picture decides. Plan: about 90
runs of 40 s, an hour of one core.
"""

import itertools
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.vit import (
    VisionConfig,
    VisionTransformer,
    convolutional,
    digit_tensors,
    pairs,
    warped,
)

STEPS, BATCH, SEEDS = 600, 64, range(3)
SIZES = (100, 300, 1000, 4000)
KINDS = ("none", "shift", "affine")
RATES = {"ViT": (3e-4, 1e-3, 3e-3, 1e-2), "CNN": (1e-3, 3e-3, 1e-2, 3e-2)}
MODELS = {
    "ViT": lambda: VisionTransformer(VisionConfig()),
    "ViT, mean": lambda: VisionTransformer(VisionConfig(pooling="mean")),
    "CNN": convolutional,
    "ViT, pairs": lambda: VisionTransformer(VisionConfig(classes=2)),
    "CNN, pairs": lambda: convolutional(classes=2),
    # as many layers and channels, but no pooling between: a field of 13 pixels
    "CNN, near, pairs": lambda: convolutional((16, 16, 16), classes=2, pool=False),
}

torch.set_num_threads(1)
long_run = LongRun("vit", Path(__file__))
digits = {split: digit_tensors(split) for split in ("train", "validation", "test")}
related = {split: pairs(split) for split in ("train", "validation", "test")}
shuffle = torch.randperm(28 * 28, generator=torch.Generator().manual_seed(0))
long_run.data = {
    split: data_digest([x.tolist() for x in digits[split]]) for split in digits
} | {f"pairs, {s}": data_digest([x.tolist() for x in related[s]]) for s in related}


def shuffled(images):
    return images.flatten(1)[:, shuffle].view_as(images)


def train(run, name, data, rate, seed, kind="none", count=4000):
    torch.manual_seed(seed)
    model = MODELS[name]()
    optimizer = adamw(model, rate)
    images, labels = (each[:count] for each in data["train"])

    def loss_of(model, batch, device):
        x = warped(images[batch], kind).to(device)
        return F.cross_entropy(model(x), labels[batch].to(device), reduction="sum")

    losses = fit(
        model, lambda step: torch.randint(len(labels), (BATCH,)).tolist(), optimizer,
        STEPS, linear_decay(optimizer, STEPS, warmup=50), long_run.state_of(run), seed,
        save_every=200, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return model.cpu(), losses


def score(model, data, split):
    images, labels = data[split]
    few = torch.tensor(long_run.few(range(len(labels)), 50))
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images[few].split(200)])
    right = (logits.argmax(-1) == labels[few]).double().mean()
    return {
        "loss": float(F.cross_entropy(logits, labels[few])),
        "accuracy": float(right),
    }


def validate(run, name, data, rate, kind, count=4000):
    model, losses = train(run, name, data, rate, len(SEEDS), kind, count)
    return {"losses": losses, "rate": rate, **score(model, data, "validation")}


def measure(run, name, data, rate, seed, kind, count=4000):
    model, losses = train(run, name, data, rate, seed, kind, count)
    if run == "ViT, 4000 pictures, seed 0" and long_run.folder:
        kept["vit"] = model
    found = {"losses": losses, "rate": rate, "augmentation": kind}
    return found | score(model, data, "test")


kept: dict[str, torch.nn.Module] = {}
names = ("ViT", "CNN")
rates = {
    name: tune(
        long_run, name, RATES[name],
        lambda run, rate, name=name: validate(run, name, digits, rate, "affine", 1000),
        by="loss", best=min,
    )
    for name in names
}  # fmt: skip
kinds = {}
for count, name in itertools.product(SIZES, names):
    tried = {
        kind: long_run.measure(
            run := f"{name}, {count} pictures, {kind}",
            partial(validate, run, name, digits, rates[name], kind, count),
        )["loss"]
        for kind in KINDS
    }
    kinds[name, count] = min(tried, key=tried.__getitem__)
variants = [f"{name}, {count} pictures" for count in SIZES for name in names]


def one(run, variant, seed):
    name, _, rest = variant.partition(", ")
    count = int(rest.split()[0])
    return measure(run, name, digits, rates[name], seed, kinds[name, count], count)


with_seeds(long_run, variants, SEEDS, one)

# the same pixels in another order, the same for all pictures: no neighbours any more
mixed = {split: (shuffled(x), y) for split, (x, y) in digits.items()}
for order, data in (("in order", digits), ("shuffled", mixed)):
    with_seeds(
        long_run, [f"{name}, {order}" for name in names], SEEDS,
        lambda run, variant, seed, data=data: measure(
            run, variant[:3], data, rates[variant[:3]], seed, "none", 1000
        ),
    )  # fmt: skip
with_seeds(
    long_run, ["ViT, mean of patches"], SEEDS,
    lambda run, variant, seed: measure(
        run, "ViT, mean", digits, rates["ViT"], seed, kinds["ViT", 1000], 1000
    ),
)  # fmt: skip
for name in ("ViT, pairs", "CNN, pairs", "CNN, near, pairs"):
    rate = tune(
        long_run, name, RATES[name[:3]],
        lambda run, rate, name=name: validate(run, name, related, rate, "none"),
        by="loss", best=min,
    )  # fmt: skip
    with_seeds(
        long_run,
        [name],
        SEEDS,
        lambda run, variant, seed, rate=rate: measure(
            run, variant, related, rate, seed, "none"
        ),
    )
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
