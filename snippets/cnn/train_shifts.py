"""Digits, the resolution halved in three ways: what is right, and what a shift changes.

Three seeds each, with and without training pictures shifted at random. Each way gets
its best rate of five on validation. Forty-eight runs of 15 seconds, twelve minutes.
"""

from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.digits import agreement, digit_cnn, shifted
from llm_tutorial.digits import digit_tensors
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS, PIXELS = 400, 64, range(3), range(1, 5)
RATES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)
WAYS = ("stride", "max", "blur")

torch.set_num_threads(1)
long_run = LongRun("shifts", Path(__file__))
splits = ("train", "validation", "test")
images, labels = {}, {}
for split in splits:
    images[split], labels[split] = digit_tensors(split)
long_run.data = {split: data_digest(images[split].tolist()) for split in splits}
held_out = {
    split: torch.tensor(long_run.few(range(len(labels[split])), 100))
    for split in ("validation", "test")
}


def train(run, way, rate, seed, moving):
    torch.manual_seed(seed)
    model = digit_cnn(way)
    optimizer = adamw(model, rate)

    def batch_at(step):
        return torch.randint(len(labels["train"]), (BATCH,)).tolist()

    def loss_of(model, batch, device):
        x = images["train"][batch]
        if moving:
            ways = torch.randint(-2, 3, (len(x), 2)).tolist()
            x = torch.cat([shifted(x[i, None], *way) for i, way in enumerate(ways)])
        y = labels["train"][batch].to(device)
        return F.cross_entropy(model(x.to(device)), y, reduction="sum")

    losses = fit(
        model, batch_at, optimizer, STEPS, linear_decay(optimizer, STEPS, warmup=20),
        long_run.state_of(run), seed, save_every=200, description=run,
        loss_of=loss_of, count=len,
    )  # fmt: skip
    return model.cpu(), losses


def measure(run, way, rate, seed, moving, split):
    model, losses = train(run, way, rate, seed, moving)
    x, y = (each[split][held_out[split]] for each in (images, labels))
    with torch.no_grad():
        logits = model(x)
    return {
        "losses": losses,
        "rate": rate,
        "loss": float(F.cross_entropy(logits, y)),
        "accuracy": float((logits.argmax(-1) == y).double().mean()),
        "agreement": [agreement(model, x, pixels) for pixels in PIXELS],
    }


variants = [f"{way}, {m}" for m in ("as they stand", "shifted") for way in WAYS]
rates = {}
for variant in variants:
    way, _, moving = variant.partition(", ")
    rates[variant] = tune(
        long_run, variant, RATES,
        lambda run, rate, way=way, moving=moving: measure(
            run, way, rate, len(SEEDS), moving == "shifted", "validation"
        ),
        by="loss", best=min,
    )  # fmt: skip
with_seeds(
    long_run, variants, SEEDS,
    lambda run, variant, seed: measure(
        run, variant.partition(",")[0], rates[variant], seed,
        variant.endswith("shifted"), "test",
    ),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
