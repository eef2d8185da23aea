"""MiniLM on 32 packages: linear probe, LoRA, full fine-tuning, at equal data and time.

Plan, in minutes of one core: rates, 3, and again for the long training, 7; five labels
a class, 2; all labels for as long as the probe takes, 2, and for two passes, 11; the
rest, 3.
"""

# %% settings
import time
from functools import partial
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from transformers import BertForSequenceClassification
from transformers.utils import logging

from llm_tutorial.batching import batches
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.timing import Paced, curve
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.classification import (
    encode,
    features_of,
    logits_of,
    loss_of,
    minilm_classifier,
)
from llm_tutorial.transformer.classification_data import package_labels, package_texts

BATCH, SEEDS, EACH, FACTOR = 16, range(3), 5, 2
# as long for both: a step of LoRA took 0.54 times that of full fine-tuning
TUNING = {"LoRA": 54, "full": 30}
FEW = {"LoRA": 72, "full": 40}
SHORT = {"LoRA": 65, "full": 36}  # as long as the probe
LONG = {"LoRA": 576, "full": 320}  # two passes of full fine-tuning
RATES = {"LoRA": (1e-3, 2e-3, 4e-3, 8e-3), "full": (1e-4, 2e-4, 4e-4, 8e-4)}
STRENGTHS = (0.01, 0.1, 1, 10, 100, 1000)

torch.set_num_threads(1)
logging.set_verbosity_error()
long_run = LongRun("classification_methods", Path(__file__))
few = long_run.few
names = package_labels()
data = {split: package_texts(split) for split in ("train", "validation", "test")}
long_run.data = {split: data_digest(each) for split, each in data.items()}
texts = {split: [each.text for each in found] for split, found in data.items()}
gold = {split: [names.index(t.label) for t in each] for split, each in data.items()}
assert not set(texts["train"]) & set(texts["validation"] + texts["test"])
tokenizer = load_tokenizer("minilm")
encoded = {split: encode(tokenizer, texts[split], gold[split]) for split in data}


def chosen(labels: str, seed: int) -> list[int]:
    """All training texts, or a few of each class; the seed says which."""
    everything = range(len(encoded["train"]))
    if labels == "all":
        return list(everything)
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(everything), generator=draw).tolist()
    by_class: dict[int, list[int]] = {}
    for number in order:
        by_class.setdefault(gold["train"][number], []).append(number)
    return [number for found in by_class.values() for number in found[:EACH]]


# %% score
def judged(logits: dict[str, torch.Tensor]) -> dict:
    found = {}
    for split, z in logits.items():
        labels = torch.tensor(few(gold[split], 32))
        right = (z.argmax(-1) == labels).double()
        classes = labels.unique()
        recall = [float(right[labels == c].mean()) for c in classes]
        found |= {
            f"{split}_accuracy": float(right.mean()),
            f"{split}_recall": sum(recall) / len(recall),  # the mean of the classes'
            f"{split}_loss": float(F.cross_entropy(z, labels)),
        }
    return found


def heldout(model) -> dict[str, torch.Tensor]:
    return {"test": logits_of(model, few(encoded["test"], 32))}


# %% probe
def probe(labels: str, seed: int) -> dict:
    """Logistic regression on mean vectors; its strength chosen on validation."""
    model = minilm_classifier(len(names), "probe")
    start = time.process_time()
    rows = few(chosen(labels, seed), 64)
    vectors = features_of(model, [encoded["train"][n] for n in rows])
    features = time.process_time() - start
    held = {s: features_of(model, few(encoded[s], 32)) for s in ("validation", "test")}
    taught = [gold["train"][n] for n in rows]
    best = {}
    for strength in STRENGTHS:
        start = time.process_time()
        regression = LogisticRegression(C=strength, max_iter=2000).fit(vectors, taught)
        seconds = time.process_time() - start
        logits = {}
        for split, x in held.items():
            z = torch.full((len(x), len(names)), -1e3)  # of classes that few() left out
            z[:, regression.classes_] = torch.from_numpy(
                regression.decision_function(x)
            ).float()
            logits[split] = z
        found = judged(logits) | {"C": strength}
        found["curve"] = [[1, features + seconds, 0.0]]
        if not best or found["validation_loss"] < best["validation_loss"]:
            best = found
    return best


# %% training
def train(run: str, method: str, labels: str, rate: float, seed: int, steps: int):
    torch.manual_seed(seed)
    model = minilm_classifier(len(names), method)
    rows = [encoded["train"][number] for number in chosen(labels, seed)]
    paced = Paced(batches(rows, BATCH, seed))
    optimizer = adamw(model, rate)
    losses = fit(
        model, paced, optimizer, steps, linear_decay(optimizer, steps, warmup=10),
        long_run.state_of(run), seed, save_every=100, description=run,
        loss_of=loss_of, count=len,
    )  # fmt: skip
    return model, losses, curve(losses, paced.pace, every=steps // 5)


def measure(run: str, method: str, labels: str, rate: float, seed: int, steps: int):
    model, losses, times = train(run, method, labels, rate, seed, steps)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "losses": losses, "rate": rate, "steps": steps, "curve": times,
        "trained": trained, **judged(heldout(model)),
    }  # fmt: skip


def validate(run: str, rate: float, method: str, steps: int) -> dict:
    model, losses, _ = train(run, method, "all", rate, len(SEEDS), steps)
    logits = logits_of(model, few(encoded["validation"], 32))
    return {"losses": losses, "rate": rate, **judged({"validation": logits})}


def best_rate(method: str, name: str, rates: list[float], steps: int) -> float:
    """The rate with the lowest loss on validation, of a range whose ends lose."""
    while True:
        best = tune(
            long_run, name, rates,
            lambda run, rate: validate(run, rate, method, steps),
            by="validation_loss", best=min,
        )  # fmt: skip
        if best not in (rates[0], rates[-1]):
            return best
        lower = best == rates[0]
        rates = [best / FACTOR, *rates] if lower else [*rates, best * FACTOR]


def library_head(run: str, rate: float) -> dict:
    """Full fine-tuning with the library's head: [CLS], a layer with tanh, dropout."""
    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(
        model_folder("minilm"), num_labels=len(names)
    )
    optimizer = adamw(model, rate)
    losses = fit(
        model, batches(encoded["train"], BATCH, 0), optimizer, LONG["full"],
        linear_decay(optimizer, LONG["full"], warmup=10), long_run.state_of(run), 0,
        save_every=100, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return {"losses": losses, "rate": rate, **judged(heldout(model))}


def ngrams(labels: str, seed: int) -> dict:
    """TF-IDF of words and pairs, or of characters, with the same regression."""
    rows = chosen(labels, seed)
    best = {}
    for kind, ngram_range in few((("word", (1, 2)), ("char_wb", (1, 5))), 1):
        vectorizer = TfidfVectorizer(
            analyzer=kind, ngram_range=ngram_range, sublinear_tf=True
        )
        vectors = vectorizer.fit_transform([texts["train"][n] for n in rows])
        held = {
            s: vectorizer.transform(few(texts[s], 32)) for s in ("validation", "test")
        }
        for strength in few((1, 10, 100, 1000, 10000), 1):
            model = LogisticRegression(C=strength, max_iter=2000)
            model.fit(vectors, [gold["train"][n] for n in rows])
            found = {"kind": kind, "C": strength} | judged(
                {
                    s: torch.from_numpy(model.decision_function(x)).float()
                    for s, x in held.items()
                }
            )
            if not best or found["validation_loss"] < best["validation_loss"]:
                best = found
    return best


# %% Chinese reviews
def blind() -> dict:
    """What MiniLM, an English model, reads of Chinese: a probe on 2,000 reviews."""
    model = minilm_classifier(2, "probe")
    parts = {"train": reviews("train")[:2000], "test": reviews("test")[:1000]}
    vectors = {}
    for split, found in parts.items():
        found = few(found, 32)
        rows = encode(tokenizer, [r.text for r in found], [r.label for r in found])
        vectors[split] = features_of(model, rows), [r.label for r in found]
    scores = []
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=2000)
        regression.fit(*vectors["train"])
        scores.append(float(regression.score(*vectors["test"])))
    return {"best_accuracy": max(scores), "accuracies": scores}


# %% runs
long_run.measure("Chinese reviews", blind)
for labels in ("few", "all"):
    for seed in SEEDS if labels == "few" else SEEDS[:1]:
        name = f"{labels} labels, seed {seed}"
        long_run.measure(f"TF-IDF, {name}", partial(ngrams, labels, seed))
        long_run.measure(f"probe, {name}", partial(probe, labels, seed))
rates = {
    method: best_rate(method, method, list(RATES[method]), TUNING[method])
    for method in RATES
}
long_rates = {  # a long training may want less
    method: best_rate(
        method, f"{method}, long", [rate / 4, rate / 2, rate], LONG[method]
    )
    for method, rate in rates.items()
}
SETTINGS = {
    f"{method}, {name}": (method, labels, steps[method])
    for name, labels, steps in (
        ("few labels", "few", FEW), ("all labels", "all", LONG), ("short", "all", SHORT)
    )
    for method in RATES
}  # fmt: skip


def one(run: str, variant: str, seed: int) -> dict:
    method, labels, steps = SETTINGS[variant]
    rate = (long_rates if steps == LONG[method] else rates)[method]
    return measure(run, method, labels, rate, seed, steps)


with_seeds(long_run, list(SETTINGS), SEEDS, one)
long_run.measure(
    run := "library head, seed 0", lambda: library_head(run, long_rates["full"])
)
long_run.finish(seeds=list(SEEDS), steps=LONG["full"], batch=BATCH, tolerance=0.3)
