"""Chinese reviews, three poolings: TextCNN on characters, half as wide as on page text.

Each pooling gets its best rate of three or more by the loss on validation reviews, then
three seeds; one pass over the reviews. About 20 runs of 3 seconds of one core.
"""

# %% settings
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.batching import batches
from llm_tutorial.cnn.sweeps import best_rate, bits
from llm_tutorial.cnn.text_cnn import (
    Encoded,
    TextCNN,
    encode,
    logits_of,
    loss_of,
    vocabulary,
)
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

SEEDS, STEPS, BATCH, LARGEST, LONGEST = range(3), 214, 64, 4, 128
POOLINGS = ("max", "mean", "attention")

torch.set_num_threads(1)
long_run = LongRun("design_reviews", Path(__file__), probed_steps=3)
few = long_run.few
found = {split: reviews(split) for split in ("train", "validation", "test")}
long_run.data = {split: data_digest(found[split]) for split in found}
numbers = vocabulary(review.text for review in found["train"])
rows = {
    split: [encode(review.text, numbers, LARGEST)[:512] for review in found[split]]
    for split in found
}
gold = {split: [review.label for review in found[split]] for split in found}
given = [
    Encoded(row[:LONGEST], label)
    for row, label in zip(rows["train"], gold["train"], strict=True)
]


# %% train and measure
def measure(run, pooling, rate, seed, split):
    torch.manual_seed(seed)
    model = TextCNN(
        len(numbers), width=32, filters=16, dropout=0.3, pooling=pooling
    )
    optimizer = adamw(model, rate)
    losses = fit(
        model, batches(given, BATCH, seed, pool=20), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=20), long_run.state_of(run), seed,
        save_every=200, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    said = logits_of(model, few(rows[split], 64))
    labels = torch.tensor(few(gold[split], 64))
    right = said.argmax(-1) == labels
    return {
        "losses": losses, "rate": rate,
        "loss": float(F.cross_entropy(said, labels)),
        "accuracy": float(right.double().mean()),
        "right": bits(right),
    }  # fmt: skip


# %% compare
for pooling in POOLINGS:
    rate = best_rate(
        long_run, pooling, 1e-2,
        lambda run, rate, p=pooling: measure(run, p, rate, len(SEEDS), "validation"),
    )  # fmt: skip
    with_seeds(
        long_run, [pooling], SEEDS,
        lambda run, p, seed, r=rate: measure(run, p, r, seed, "test"),
    )  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
