"""Positive or negative: the small Transformer that TextCNN is compared with.

The same words, vectors, steps and tuning as in train_text.py: three rates (more where
an end is best) and another dropout, then three seeds. Eight runs of a minute of one
core, about ten minutes.
"""

from functools import partial
from pathlib import Path

import jieba
import torch
from torch.nn import functional as F

from llm_tutorial.batching import batches
from llm_tutorial.cnn.text_cnn import (
    Encoded,
    SmallTransformer,
    counted_vectors,
    encode,
    logits_of,
    loss_of,
    vocabulary,
)
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS, LARGEST, FACTOR = 428, 64, range(3), 4, 3
LONGEST = 256  # tokens of a text in training; the test is read whole
DROPOUTS = (0.1, 0.3)

torch.set_num_threads(1)
jieba.setLogLevel("WARNING")
long_run = LongRun("text_transformer", Path(__file__))
few = long_run.few
found = {split: reviews(split) for split in ("train", "validation", "test")}
long_run.data = {split: data_digest(found[split]) for split in found}
gold = {split: [review.label for review in found[split]] for split in found}
texts = {split: [jieba.lcut(r.text) for r in found[split]] for split in found}
numbers = vocabulary(texts["train"], 4)
rows = {split: [encode(t, numbers, LARGEST) for t in texts[split]] for split in found}
vectors = counted_vectors(rows["train"], len(numbers))
given = [
    Encoded(row[:LONGEST], label)
    for row, label in zip(rows["train"], gold["train"], strict=True)
]


def judged(logits: torch.Tensor, split: str) -> dict:
    """Accuracy, cross-entropy, and which texts are right, a bit each."""
    labels = torch.tensor(few(gold[split], 64))
    right = (logits.argmax(-1) == labels).tolist()
    return {
        f"{split}_accuracy": sum(right) / len(right),
        f"{split}_loss": float(F.cross_entropy(logits, labels)),
        f"{split}_right": f"{int(''.join(str(int(r)) for r in right), 2):x}",
    }


def measure(run, rate, seed, splits=("validation",), dropout=DROPOUTS[0]):
    torch.manual_seed(seed)
    network = SmallTransformer(len(numbers), vectors=vectors, dropout=dropout)
    optimizer = adamw(network, rate)
    losses = fit(
        network, batches(given, BATCH, seed, pool=20), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=20), long_run.state_of(run), seed,
        save_every=100, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    network.cpu()
    metrics = {
        "losses": losses, "rate": rate, "dropout": dropout,
        "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip
    for split in splits:
        metrics |= judged(logits_of(network, few(rows[split], 64), size=16), split)
    return metrics


name, rates = "Transformer, words", [1e-3, 3e-3, 9e-3]
for _ in range(4):
    rate = tune(
        long_run, name, rates, lambda run, rate: measure(run, rate, 3),
        by="validation_accuracy",
    )  # fmt: skip
    if rate not in (rates[0], rates[-1]):
        break
    down = rate == rates[0]
    rates = [rate / FACTOR, *rates] if down else [*rates, rate * FACTOR]
run = f"{name}, dropout {DROPOUTS[1]}"
tried = long_run.measure(run, partial(measure, run, rate, 3, dropout=DROPOUTS[1]))
before = long_run.runs[f"{name}, rate {rate:g}"]
better = tried["validation_accuracy"] > before["validation_accuracy"]
dropout = DROPOUTS[better]
with_seeds(
    long_run, [name], SEEDS,
    lambda run, _, seed: measure(run, rate, seed, ("validation", "test"), dropout),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, batch=BATCH, tolerance=0.3)
