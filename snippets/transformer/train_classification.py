"""Chinese reviews: TF-IDF, and a small encoder with and without masked pretraining.

Plan, in minutes of one core: pretraining on news, 2; rates, 4; two numbers of labels,
two ways to start and three seeds, 4; TF-IDF, 2; longer, 7.
"""

# %% settings
import itertools
import statistics
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from transformers import BertForMaskedLM, BertForSequenceClassification

from llm_tutorial.batching import batches
from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.timing import Paced, curve
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.classification import (
    Labelled,
    chunks,
    encode,
    logits_of,
    loss_of,
    masked_loss,
    own_tokenizer,
    small_config,
)

LABELS, BATCH, SEEDS = ("negative", "positive"), 32, range(3)
STEPS, TUNING = {1000: 100, 13687: 250}, 200  # by the number of labelled reviews
STARTS = ("from scratch", "news")
PRETRAINING, PRETRAINING_BATCH, PRETRAINING_RATE = 800, 16, 1e-3
LONGER = 1280  # steps that take as long as 250 of them and pretraining together
LONG = 3000  # about seven passes, for the model that the page loads
RATES, FACTOR = (5e-4, 1e-3, 2e-3, 4e-3), 2

torch.set_num_threads(1)
long_run = LongRun("classification", Path(__file__))
few = long_run.few
data = {split: reviews(split) for split in ("train", "validation", "test")}
texts = {split: [review.text for review in each] for split, each in data.items()}
gold = {split: [review.label for review in each] for split, each in data.items()}
assert not set(texts["train"]) & set(texts["validation"] + texts["test"])
news = [document.text for document in people_daily("train")]
long_run.data = {s: data_digest(each) for s, each in data.items()}
long_run.data["news"] = data_digest(news)
tokenizer = own_tokenizer([*texts["train"], *news])
encoded = {split: encode(tokenizer, texts[split], gold[split]) for split in data}


# %% pretraining
def pretrain(name: str) -> dict:
    """Masked-language modelling on the newspaper, in rows of 128 tokens."""
    torch.manual_seed(0)
    model = BertForMaskedLM(small_config(len(tokenizer)))
    ids = tokenizer(news, add_special_tokens=False, truncation=False).input_ids
    rows = [Labelled(row, 0) for row in chunks(itertools.chain(*ids))]
    batch_at = batches(rows, PRETRAINING_BATCH, 0)
    paced = Paced(lambda step: [each.input_ids for each in batch_at(step)])
    optimizer = adamw(model, PRETRAINING_RATE)
    losses = fit(
        model, paced, optimizer, PRETRAINING,
        linear_decay(optimizer, PRETRAINING, warmup=50), long_run.state_of(name), 0,
        save_every=100, description=name, loss_of=masked_loss, count=len,
    )  # fmt: skip
    long_run.folder.mkdir(parents=True, exist_ok=True)
    save_file(model.bert.state_dict(), long_run.folder / f"{name}.safetensors")
    first, last = statistics.mean(losses[:20]), statistics.mean(losses[-50:])
    return {
        "losses": losses, "rows": len(rows), "first_loss": first, "last_loss": last,
        "curve": curve(losses, paced.pace, every=50),
    }  # fmt: skip


# %% fine-tuning
def train(run: str, start: str, labels: int, rate: float, seed: int, steps: int):
    torch.manual_seed(seed)
    model = BertForSequenceClassification(small_config(len(tokenizer), LABELS))
    if start == "news":
        state = load_file(long_run.folder / "news.safetensors")
        missing = model.bert.load_state_dict(state, strict=False)
        assert all(name.startswith("pooler") for name in missing.missing_keys)
    optimizer = adamw(model, rate)
    paced = Paced(batches(encoded["train"][:labels], BATCH, seed))
    losses = fit(
        model, paced, optimizer, steps, linear_decay(optimizer, steps, warmup=20),
        long_run.state_of(run), seed, save_every=100, description=run,
        loss_of=loss_of, count=len,
    )  # fmt: skip
    kept = {"curve": curve(losses, paced.pace, every=steps // 5), "rate": rate}
    # a probe pretrains for a few steps: what comes after begins elsewhere
    return model, kept if start == "news" else kept | {"losses": losses}


def score(model: torch.nn.Module, split: str) -> dict:
    found = few(encoded[split], 32)
    logits = logits_of(model, found)
    labels = torch.tensor([each.label for each in found])
    right = (logits.argmax(-1) == labels).double().mean()
    loss = float(F.cross_entropy(logits, labels))
    return {"accuracy": float(right), "loss": loss}


def validate(run: str, rate: float, start: str, labels: int) -> dict:
    model, kept = train(run, start, labels, rate, len(SEEDS), TUNING)
    return {**kept, **score(model, "validation")}


def best_rate(start: str) -> float:
    """The rate with the lowest loss on validation, of a range whose ends lose."""
    rates = list(RATES)
    while True:
        best = tune(
            long_run, start, rates,
            lambda run, rate: validate(run, rate, start, max(STEPS)),
            by="loss", best=min,
        )  # fmt: skip
        if best not in (rates[0], rates[-1]):
            return best
        lower = best == rates[0]
        rates = [best / FACTOR, *rates] if lower else [*rates, best * FACTOR]


def measure(run: str, start: str, labels: int, rate: float, seed: int, steps: int):
    model, kept = train(run, start, labels, rate, seed, steps)
    if run == "news, long, seed 0":  # what the page loads
        model.half().save_pretrained(long_run.folder)
        tokenizer.save_pretrained(long_run.folder)
        model.float()
    found = {
        f"{s}_{k}": v for s in data if s != "train" for k, v in score(model, s).items()
    }
    return {
        **kept, "steps": steps, "parameters": model.num_parameters(), **found,
    }  # fmt: skip


# %% n-grams
def ngrams(labels: int) -> dict:
    """Logistic regression on n-grams of characters, tuned on validation."""
    tried = {}
    for longest in few((1, 2, 3, 4, 5), 1):
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, longest), min_df=2, sublinear_tf=True
        )
        vectors = vectorizer.fit_transform(texts["train"][:labels])
        others = {s: vectorizer.transform(texts[s]) for s in ("validation", "test")}
        for strength in few((0.25, 1, 4, 16, 64), 1):
            model = LogisticRegression(C=strength, max_iter=1000)
            model.fit(vectors, gold["train"][:labels])
            scores = {s: model.score(x, gold[s]) for s, x in others.items()}
            tried[longest, strength] = {
                "longest": longest, "C": strength,
                **{f"{split}_accuracy": found for split, found in scores.items()},
            }  # fmt: skip
    return max(tried.values(), key=lambda found: found["validation_accuracy"])


# %% runs
long_run.measure("pretraining, news", partial(pretrain, "news"))
rates = {start: best_rate(start) for start in STARTS}


long_run.measure(
    run := "news, long, seed 0",
    partial(measure, run, "news", max(STEPS), rates["news"], 0, LONG),
)
with_seeds(
    long_run,
    [f"{start}, {labels} labels" for labels in STEPS for start in STARTS],
    SEEDS,
    lambda run, variant, seed: measure(
        run, start := variant.split(", ")[0], labels := int(variant.split()[-2]),
        rates[start], seed, STEPS[labels],
    ),
)  # fmt: skip
long_run.measure(
    run := "from scratch, longer, seed 0",
    partial(measure, run, STARTS[0], max(STEPS), rates[STARTS[0]], 0, LONGER),
)
for labels in STEPS:
    name = f"TF-IDF, {labels} labels"
    long_run.measure(name, partial(ngrams, labels))
(long_run.folder / "news.safetensors").unlink(missing_ok=True)
long_run.finish(seeds=list(SEEDS), steps=STEPS[13687], batch=BATCH, tolerance=0.3)
