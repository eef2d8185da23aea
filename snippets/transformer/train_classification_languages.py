"""126 languages by a single name: naive Bayes on n-grams, and a small encoder.

Plan, in minutes of one core: n-grams and their smoothing, 1; rates, 1; three seeds, 3.
"""

# %% settings
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from torch.nn import functional as F
from transformers import BertForSequenceClassification

from llm_tutorial.batching import batches
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.classification import (
    encode,
    logits_of,
    loss_of,
    own_tokenizer,
    small_config,
)
from llm_tutorial.transformer.classification_data import (
    language_labels,
    language_texts,
)

STEPS, TUNING, BATCH, SEEDS = 800, 200, 64, range(3)
RATES, FACTOR = (1e-3, 2e-3, 4e-3, 8e-3), 2

torch.set_num_threads(1)
long_run = LongRun("classification_languages", Path(__file__))
few = long_run.few
codes = language_labels()
data = {split: language_texts(split) for split in ("train", "validation", "test")}
long_run.data = {split: data_digest(each) for split, each in data.items()}
texts = {split: [each.text for each in found] for split, found in data.items()}
gold = {split: [codes.index(t.label) for t in each] for split, each in data.items()}
tokenizer = own_tokenizer(texts["train"])
encoded = {split: encode(tokenizer, texts[split], gold[split]) for split in data}


# %% n-grams
def judged(log_p: torch.Tensor, split: str) -> dict:
    labels = torch.tensor(few(gold[split], 32))
    right = (log_p.argmax(-1) == labels).double().mean()
    return {"accuracy": float(right), "loss": float(F.nll_loss(log_p, labels))}


def bayes() -> dict:
    """Multinomial naive Bayes on n-grams of characters, tuned on validation."""
    best: dict = {}
    for longest in few((1, 2, 3, 4, 5), 1):
        hashing = HashingVectorizer(
            analyzer="char", ngram_range=(1, longest), n_features=2**16,
            alternate_sign=False, norm=None,
        )  # fmt: skip
        held = {
            split: hashing.transform(few(texts[split], 32))
            for split in ("validation", "test")
        }
        vectors = hashing.transform(texts["train"])
        for alpha in few((0.001, 0.01, 0.1, 1), 1):
            model = MultinomialNB(alpha=alpha).fit(vectors, gold["train"])
            found = {
                split: judged(torch.from_numpy(model.predict_log_proba(x)), split)
                for split, x in held.items()
            }
            if (
                not best
                or found["validation"]["accuracy"] > best["validation"]["accuracy"]
            ):
                best = {**found, "longest": longest, "alpha": alpha}
    return best


# %% encoder
def train(run: str, rate: float, seed: int, steps: int):
    torch.manual_seed(seed)
    model = BertForSequenceClassification(small_config(len(tokenizer), codes))
    optimizer = adamw(model, rate)
    losses = fit(
        model, batches(encoded["train"], BATCH, seed), optimizer, steps,
        linear_decay(optimizer, steps, warmup=50), long_run.state_of(run), seed,
        save_every=200, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return model, losses


def validate(run: str, rate: float) -> dict:
    model, losses = train(run, rate, len(SEEDS), TUNING)
    log_p = logits_of(model, few(encoded["validation"], 32)).log_softmax(-1)
    return {"losses": losses, "rate": rate, **judged(log_p, "validation")}


def best_rate() -> float:
    """The rate with the lowest loss on validation, of a range whose ends lose."""
    rates = list(RATES)
    while True:
        best = tune(long_run, "encoder", rates, validate, by="loss", best=min)
        if best not in (rates[0], rates[-1]):
            return best
        lower = best == rates[0]
        rates = [best / FACTOR, *rates] if lower else [*rates, best * FACTOR]


def measure(run: str, rate: float, seed: int) -> dict:
    model, losses = train(run, rate, seed, STEPS)
    log_p = {
        split: logits_of(model, few(encoded[split], 32)).log_softmax(-1)
        for split in ("validation", "test")
    }
    pairs = np.zeros((len(codes), len(codes)), dtype=int)  # true, named
    for label, named in zip(
        few(gold["test"], 32), log_p["test"].argmax(-1), strict=True
    ):
        pairs[label, int(named)] += 1
    wrong = [
        [codes[a], codes[b], int(pairs[a, b])]
        for a, b in np.argwhere(pairs - np.diag(np.diag(pairs)) >= 3).tolist()
    ]
    recall = {c: pairs[n, n] / max(pairs[n].sum(), 1) for n, c in enumerate(codes)}
    return {
        "losses": losses, "rate": rate, "parameters": model.num_parameters(),
        "confused": sorted(wrong, key=lambda each: -each[2]), "recall": recall,
        **{split: judged(each, split) for split, each in log_p.items()},
    }  # fmt: skip


# %% runs
long_run.measure("naive Bayes", bayes)
rate = best_rate()
with_seeds(
    long_run, ["encoder"], SEEDS, lambda run, variant, seed: measure(run, rate, seed)
)
long_run.finish(seeds=list(SEEDS), steps=STEPS, batch=BATCH, tolerance=0.3)
