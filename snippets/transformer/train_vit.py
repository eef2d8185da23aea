"""Vision Transformer against CNN: digits from 100 to 4,000 pictures, and a relation.

Both spend as many multiplications on a picture and take as many steps. At each number
of pictures each gets its best of three augmentations, then its best rate (of three or
more, never at an end), by the loss on validation; then three seeds, each with another
sample of the pictures. Beside it: four times the steps; patches or pixels shuffled by
one permutation; CLS against mean; the first weights of Transformers' default; and a
task that only a relation across the picture decides. Plan: about 140 runs of 20 s, 50
minutes of one core.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from llm_tutorial.digits import digit_tensors, warped
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.vit import (
    VisionConfig,
    VisionTransformer,
    convolutional,
    pairs,
)

STEPS, WARMUP, BATCH, SEEDS = 800, 50, 32, range(3)
SIZES, PAIRS = (100, 300, 1000, 4000), (1000, 8000)
KINDS = ("none", "shift", "affine")
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)  # of learning rates
FIRST = {"ViT": 3e-3, "CNN": 1e-2}  # the middle of the first three rates
MODELS = {
    "ViT": lambda: VisionTransformer(VisionConfig()),
    "ViT, mean": lambda: VisionTransformer(VisionConfig(pooling="mean")),
    "ViT, small start": lambda: VisionTransformer(VisionConfig(initializer_range=0.02)),
    "CNN": convolutional,
    "ViT, pairs": lambda: VisionTransformer(VisionConfig(classes=2)),
    "CNN, pairs": lambda: convolutional(classes=2),
    # the same layers twice, with fields of 13 and of 29 pixels
    "CNN, near, pairs": lambda: convolutional((8, 8, 8), 1, 2, (1, 1, 1)),
    "CNN, far, pairs": lambda: convolutional((8, 8, 8), 1, 2, (1, 2, 4)),
}
KEPT = {
    "ViT, 4000 pictures, seed 0": "digits",
    "ViT, pairs, 8000 pictures, seed 0": "pairs",
}

torch.set_num_threads(1)
long_run = LongRun("vit", Path(__file__), probed_steps=4)
splits = ("train", "validation", "test")
digits = {split: digit_tensors(split) for split in splits}
related = {split: pairs(split) for split in splits}
long_run.data = {
    split: data_digest([(255 * x).round().int().tolist(), y.tolist()])
    for split, (x, y) in digits.items()
}


# %% other orders of the same pixels
def pixels_shuffled(images):
    generator = torch.Generator().manual_seed(0)
    return images.flatten(1)[:, torch.randperm(784, generator=generator)].view_as(
        images
    )


def patches_shuffled(images):
    """Whole patches of 7 × 7 change places; the inside of each stays."""
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    patches = F.unfold(images, 7, stride=7)[:, :, order]
    return F.fold(patches, 28, 7, stride=7)


ORDERS = {
    "in order": lambda images: images,
    "patches shuffled": patches_shuffled,
    "pixels shuffled": pixels_shuffled,
}


# %% train and measure
def run(name, model, data, rate, seed, count, kind, order, split, steps=STEPS):
    torch.manual_seed(seed)
    network = MODELS[model]()
    optimizer = adamw(network, rate)
    sample = torch.randperm(
        len(data["train"][1]), generator=torch.Generator().manual_seed(seed)
    )[:count]
    images, labels = (each[sample] for each in data["train"])

    def loss_of(network, batch, device):
        x = ORDERS[order](warped(images[batch], kind)).to(device)
        return F.cross_entropy(network(x), labels[batch].to(device), reduction="sum")

    losses = fit(
        network, lambda step: torch.randint(count, (BATCH,)).tolist(), optimizer,
        steps, linear_decay(optimizer, steps, WARMUP), long_run.state_of(name), seed,
        save_every=200, description=name, loss_of=loss_of, count=len,
    )  # fmt: skip
    network.cpu()
    if name in KEPT:
        long_run.folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: value.half() for key, value in network.state_dict().items()},
            long_run.folder / f"{KEPT[name]}.safetensors",
        )
    images, labels = data[split]
    few = torch.tensor(long_run.few(range(len(labels)), 50))
    with torch.no_grad():
        logits = torch.cat([network(ORDERS[order](x)) for x in images[few].split(200)])
    return {
        "losses": losses,
        "rate": rate,
        "augmentation": kind,
        "loss": float(F.cross_entropy(logits, labels[few])),
        "accuracy": float((logits.argmax(-1) == labels[few]).double().mean()),
        "train_loss": sum(losses[-50:]) / 50,
    }


def validated(model, data, count, kind, order, rate):
    """The loss on validation; a seed of its own."""
    name = f"{model}, {count} pictures, {kind}, {order}, rate {rate:g}"
    function = partial(
        run, name, model, data, rate, len(SEEDS), count, kind, order, "validation"
    )
    if name not in on_validation:
        on_validation[name] = long_run.measure(name, function)["loss"]
    return on_validation[name]


on_validation = {}


def best_rate(model, data, count, kind, order="in order", middle=None):
    """Three rates round the middle, and further while the best one is at an end."""
    at = LADDER.index(middle or FIRST[model[:3]])
    tried = {}
    while True:
        for place in range(max(at - 1, 0), min(at + 2, len(LADDER))):
            tried[place] = validated(model, data, count, kind, order, LADDER[place])
        if (best := min(tried, key=tried.__getitem__)) == at:
            return LADDER[at]
        at = best


def seeds(variant, model, data, rate, count, kind, order="in order"):
    with_seeds(
        long_run, [variant], SEEDS,
        lambda name, variant, seed: run(
            name, model, data, rate, seed, count, kind, order, "test"
        ),
    )  # fmt: skip


# %% digits
chosen = {}
for model in ("ViT", "CNN"):
    middle = best_rate(model, digits, 1000, "affine")
    for count in (1000, 100, 4000, 300):
        kind = min(
            KINDS,
            key=lambda kind: validated(model, digits, count, kind, "in order", middle),
        )
        chosen[model, count] = (
            best_rate(model, digits, count, kind, middle=middle),
            kind,
        )
for count in SIZES:
    for model in ("ViT", "CNN"):
        rate, kind = chosen[model, count]
        seeds(f"{model}, {count} pictures", model, digits, rate, count, kind)

# %% a relation
for model in ("ViT, pairs", "CNN, pairs", "CNN, near, pairs", "CNN, far, pairs"):
    rate = best_rate(model, related, 1000, "none")
    for count in PAIRS:
        seeds(f"{model}, {count} pictures", model, related, rate, count, "none")

# %% no neighbours any more
for model, order in (
    ("CNN", "patches shuffled"),
    ("CNN", "pixels shuffled"),
    ("ViT", "patches shuffled"),
    ("ViT", "pixels shuffled"),
):
    middle, kind = chosen[model, 1000]
    rate = best_rate(model, digits, 1000, kind, order, middle)
    seeds(f"{model}, {order}", model, digits, rate, 1000, kind, order)

# %% two choices of the ViT
for model in ("ViT, small start", "ViT, mean"):
    middle, kind = chosen["ViT", 1000]
    rate = best_rate(model, digits, 1000, kind, middle=middle)
    seeds(model, model, digits, rate, 1000, kind)

# %% four times the steps
for model in ("ViT", "CNN"):
    rate, kind = chosen[model, 4000]
    name = f"{model}, four times the steps, seed 0"
    long_run.measure(
        name,
        partial(
            run, name, model, digits, rate, 0, 4000, kind, "in order", "test", 4 * STEPS
        ),
    )
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
