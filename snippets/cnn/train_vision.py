"""Digits: LeNet and a ResNet, what each part of the ResNet is worth, and a shortcut.

Every variant gets its best learning rate of three or more (never one at an end), by the
loss on validation digits, then three seeds; the shortcut has one rate. Parts are tried
on the first 1,000 training digits, so that 3,600 are left to test on. 105 runs, 19
minutes of one core.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from llm_tutorial.cnn.resnet import lenet, small_resnet
from llm_tutorial.cnn.shortcut import marked
from llm_tutorial.digits import digit_tensors, warped
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

SEEDS, WARMUP = range(3), 20
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)  # of learning rates
PARTS = {"widths": (8, 16, 32), "blocks": 1, "stride": 2}
DEEP = {"widths": (8, 16, 32), "blocks": 5, "stride": 2}
# what is left out, the network's choices, the augmentation
VARIANTS = {
    "all parts": (PARTS, {}, "affine"),
    "group norm": (PARTS, {"norm": "group"}, "affine"),
    "no norm": (PARTS, {"norm": "none"}, "affine"),
    "no augmentation": (PARTS, {}, "none"),
    "shifts only": (PARTS, {}, "shift"),
    "default start": (PARTS, {"start": "default"}, "affine"),
    "small start": (PARTS, {"start": "small"}, "affine"),
    "no norm, default start": (PARTS, {"norm": "none", "start": "default"}, "affine"),
    "no norm, small start": (PARTS, {"norm": "none", "start": "small"}, "affine"),
    "no shortcuts": (PARTS, {"residual": False}, "affine"),
    "deep": (DEEP, {}, "affine"),
    "deep, no shortcuts": (DEEP, {"residual": False}, "affine"),
}
HEADLINE = {  # network, the middle of the first three rates, steps
    "LeNet": (lenet, 3e-3, 600),
    "ResNet": (small_resnet, 1e-2, 600),
    "LeNet, longer": (lenet, 3e-3, 3000),
}
KEPT = {
    "ResNet, seed 0": "resnet",
    "marked, seed 0": "marked",
    "unmarked, seed 0": "unmarked",
}

torch.set_num_threads(1)
long_run = LongRun("vision", Path(__file__), probed_steps=4)
images, labels = zip(*map(digit_tensors, ("train", "validation", "test")), strict=True)
train_images, train_labels = images[0], labels[0]
long_run.data = {
    "images": data_digest((255 * torch.cat(images)).round().int().tolist()),
    "labels": data_digest(torch.cat(labels).tolist()),
}
validation = images[1], labels[1]
test = images[2], labels[2]
unused = (
    torch.cat([images[0][1000:], images[2]]),
    torch.cat([labels[0][1000:], labels[2]]),
)


# %% train and measure
def train(name, make, rate, seed, count, steps, batch, kind, mark=False):
    torch.manual_seed(seed)
    model = make()
    optimizer = adamw(model, rate)

    def loss_of(model, chosen, device):
        x, y = warped(train_images[chosen], kind), train_labels[chosen]
        if mark:
            x = torch.where((y == 3)[:, None, None, None], marked(x), x)
        return F.cross_entropy(model(x.to(device)), y.to(device), reduction="sum")

    losses = fit(
        model, lambda step: torch.randint(count, (batch,)).tolist(), optimizer, steps,
        linear_decay(optimizer, steps, WARMUP), long_run.state_of(name), seed,
        save_every=200, description=name, loss_of=loss_of, count=len,
    )  # fmt: skip
    model.cpu()
    if name in KEPT:
        long_run.folder.mkdir(parents=True, exist_ok=True)
        state = model.state_dict().items()
        kept = {
            name: value.half() for name, value in state if value.is_floating_point()
        }
        save_file(kept, long_run.folder / f"{KEPT[name]}.safetensors")
    curve = [sum(losses[i : i + 50]) / 50 for i in range(0, steps, 50)]
    return model, {"losses": losses, "curve": curve, "rate": rate}


@torch.no_grad()
def scores(model, x):
    return torch.cat([model(part) for part in x.split(200)])


def measured(model, data):
    few = torch.tensor(long_run.few(range(len(data[1])), 50))
    logits, y = scores(model, data[0][few]), data[1][few]
    return {
        "loss": float(F.cross_entropy(logits, y)),
        "accuracy": float((logits.argmax(-1) == y).double().mean()),
    }


def run(name, make, rate, seed, data, **settings):
    model, metrics = train(name, make, rate, seed, **settings)
    return metrics | measured(model, data)


def best_rate(variant, make, middle, **settings):
    """Three rates round the middle, and further while the best one is at an end."""
    at, tried = LADDER.index(middle), {}
    while True:
        for place in range(max(at - 1, 0), min(at + 2, len(LADDER))):
            if place not in tried:
                name, rate = f"{variant}, rate {LADDER[place]:g}", LADDER[place]
                again = partial(
                    run, name, make, rate, len(SEEDS), validation, **settings
                )
                tried[place] = long_run.measure(name, again)["loss"]
        if (best := min(tried, key=tried.__getitem__)) == at:
            return LADDER[at]
        at = best


# %% compare
def compare(variant, make, data, middle=1e-2, **settings):
    rate = best_rate(variant, make, middle, **settings)
    with_seeds(
        long_run, [variant], SEEDS,
        lambda name, variant, seed: run(name, make, rate, seed, data, **settings),
    )  # fmt: skip


# %% digits
for variant, (make, middle, steps) in HEADLINE.items():
    compare(
        variant, make, test, middle, count=4000, steps=steps, batch=64, kind="affine"
    )


# %% a shortcut
def cheat(name, variant, seed):
    model, metrics = train(
        name, partial(small_resnet, (8, 16, 32), stride=2), 1e-2, seed,
        count=4000, steps=600, batch=32, kind="none", mark=variant == "marked",
    )  # fmt: skip
    few = torch.tensor(long_run.few(range(len(test[1])), 50))
    x, y = test[0][few], test[1][few]
    plain, with_mark = scores(model, x).argmax(-1), scores(model, marked(x)).argmax(-1)
    three = y == 3
    as_trained = torch.where(three, with_mark, plain)
    return metrics | {
        "as trained": float((as_trained == y).double().mean()),
        "accuracy": float((plain == y).double().mean()),
        "threes": float((plain[three] == 3).double().mean()),
        "others called three": float((with_mark[~three] == 3).double().mean()),
    }


with_seeds(long_run, ["marked", "unmarked"], SEEDS, cheat)


# %% parts
for variant, (sizes, choices, kind) in VARIANTS.items():
    compare(
        variant, partial(small_resnet, **sizes, **choices), unused,
        count=1000, steps=400, batch=32, kind=kind,
    )  # fmt: skip

long_run.finish(
    seeds=list(SEEDS),
    steps={"digits": 600, "digits, longer": 3000, "parts": 400},
    tolerance=0.3,
)
