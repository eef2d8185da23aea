"""Positive or negative: TextCNN and TF-IDF on Chinese reviews, by words or characters.

TextCNN has three rates tried (more where an end is best) and another dropout, TF-IDF
its length of n-grams and its penalty, on the same validation set. Then three seeds;
then one seed for each setting of a sweep. Thirty runs of 10 to 15 seconds of one core,
six minutes in all; train_text_transformer.py has the opponent.
"""

from functools import partial
from pathlib import Path

import jieba
import torch
from safetensors.torch import save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from llm_tutorial.batching import batches
from llm_tutorial.cnn.text_cnn import (
    UNKNOWN,
    Encoded,
    TextCNN,
    counted_vectors,
    encode,
    logits_of,
    loss_of,
    vocabulary,
)
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.saved_state import write_json
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS, LARGEST, FACTOR = 428, 64, range(3), 4, 3
LONGEST = 256  # tokens of a text in training; the test is read whole
UNITS = {"words": 4, "characters": 2}  # how often a token must occur to be known
DROPOUTS = (0.5, 0.3)
PENALTIES = (1, 4, 16, 64, 256)
SWEEP = {
    "pooling": ["mean", "k-max", "attention"],
    "channel": ["random", "static", "both"],
    "regions": [(1,), (2,), (5,)],
    "dropout": [0.0, 0.3, 0.7],
    "filters": [4, 12],
}

torch.set_num_threads(1)
jieba.setLogLevel("WARNING")
long_run = LongRun("text", Path(__file__))
few = long_run.few
found = {split: reviews(split) for split in ("train", "validation", "test")}
long_run.data = {split: data_digest(found[split]) for split in found}
gold = {split: [review.label for review in found[split]] for split in found}
texts = {
    "characters": {split: [r.text for r in found[split]] for split in found},
    "words": {split: [jieba.lcut(r.text) for r in found[split]] for split in found},
}
numbers = {unit: vocabulary(texts[unit]["train"], UNITS[unit]) for unit in UNITS}
rows = {
    unit: {
        split: [encode(text, numbers[unit], LARGEST) for text in texts[unit][split]]
        for split in found
    }
    for unit in UNITS
}
vectors = {
    unit: counted_vectors(rows[unit]["train"], len(numbers[unit])) for unit in UNITS
}


def filled(unit, split, options):
    """Rows as long as the largest filter; the usual one has four tokens."""
    largest = max(options.get("regions", (LARGEST,)))
    return [row + [UNKNOWN] * (largest - len(row)) for row in rows[unit][split]]


def judged(logits: torch.Tensor, split: str) -> dict:
    """Accuracy, cross-entropy, and which texts are right, a bit each."""
    labels = torch.tensor(few(gold[split], 64))
    right = (logits.argmax(-1) == labels).tolist()
    return {
        f"{split}_accuracy": sum(right) / len(right),
        f"{split}_loss": float(F.cross_entropy(logits, labels)),
        f"{split}_right": f"{int(''.join(str(int(r)) for r in right), 2):x}",
    }


def train(run, unit, rate, seed, steps=STEPS, **options):
    torch.manual_seed(seed)
    options = {"vectors": vectors[unit]} | options
    if options.get("channel") == "random":
        del options["vectors"], options["channel"]
    network = TextCNN(len(numbers[unit]), **options)
    optimizer = adamw(network, rate)
    ids = [row[:LONGEST] for row in filled(unit, "train", options)]
    given = [Encoded(*pair) for pair in zip(ids, gold["train"], strict=True)]
    losses = fit(
        network, batches(given, BATCH, seed, pool=20), optimizer, steps,
        linear_decay(optimizer, steps, warmup=20), long_run.state_of(run), seed,
        save_every=100, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return network.cpu(), losses


def measure(run, unit, rate, seed, splits=("validation",), **options):
    network, losses = train(run, unit, rate, seed, **options)
    metrics = {
        "losses": losses, "rate": rate,
        "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip
    for split in splits:
        held_out = few(filled(unit, split, options), 64)
        metrics |= judged(logits_of(network, held_out), split)
    if run == "TextCNN, words, seed 0":
        keep(network)
    return metrics


def keep(network):
    """The weights that the page loads, in 16 bits, and the words in their order."""
    long_run.folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in network.state_dict().items()}
    save_file(state, long_run.folder / "model.safetensors")
    write_json(long_run.folder / "vocabulary.json", list(numbers["words"]))


def tfidf(unit):
    """The n-grams and the penalty with the best accuracy on validation."""
    best = {}
    for longest in few((1, 2, 3, 4), 1):
        kind = {"analyzer": "char"}
        if unit == "words":  # which are cut already
            kind = dict.fromkeys(("preprocessor", "tokenizer"), list)
            kind["token_pattern"] = None
        vectorizer = TfidfVectorizer(
            ngram_range=(1, longest), min_df=2, sublinear_tf=True, **kind
        )
        x = {
            split: (vectorizer.fit_transform if split == "train" else
                    vectorizer.transform)(texts[unit][split])
            for split in found
        }  # fmt: skip
        for penalty in few(PENALTIES, 1):
            model = LogisticRegression(C=penalty, max_iter=2000)
            model.fit(x["train"], gold["train"])
            tried = {"longest": longest, "C": penalty, "features": x["train"].shape[1]}
            for split in ("validation", "test"):
                scores = torch.from_numpy(model.decision_function(x[split])).float()
                logits = torch.stack([torch.zeros_like(scores), scores], -1)
                tried |= judged(few(logits, 64), split)
            if not best or tried["validation_accuracy"] > best["validation_accuracy"]:
                best = tried
    return best


def best_rate(unit):
    """Of a range of rates whose ends lose, the one with the best accuracy."""
    rates = [1e-3, 3e-3, 9e-3]
    for _ in range(4):
        best = tune(
            long_run, f"TextCNN, {unit}", rates,
            lambda run, rate: measure(run, unit, rate, len(SEEDS)),
            by="validation_accuracy",
        )  # fmt: skip
        if best not in (rates[0], rates[-1]):
            break
        down = best == rates[0]
        rates = [best / FACTOR, *rates] if down else [*rates, best * FACTOR]
    return best


for unit in UNITS:
    long_run.measure(f"TF-IDF, {unit}", partial(tfidf, unit))
rates, dropouts = {}, {}
for unit in UNITS:
    rate = rates[unit] = best_rate(unit)
    usual, other = DROPOUTS
    run = f"TextCNN, {unit}, dropout {other}"
    tried = long_run.measure(
        run, partial(measure, run, unit, rate, len(SEEDS), dropout=other)
    )
    before = long_run.runs[f"TextCNN, {unit}, rate {rate:g}"]
    better = tried["validation_accuracy"] > before["validation_accuracy"]
    dropouts[unit] = other if better else usual


def headline(run, variant, seed):
    unit = variant.removeprefix("TextCNN, ")
    return measure(
        run, unit, rates[unit], seed, ("validation", "test"), dropout=dropouts[unit]
    ) | {"dropout": dropouts[unit]}


with_seeds(long_run, [f"TextCNN, {unit}" for unit in UNITS], SEEDS, headline)
for name, values in SWEEP.items():
    for value in values:
        if name == "dropout" and value == dropouts["words"]:
            value = 0.5  # the other one
        run = f"{name} {value}, seed 0"
        options = {"dropout": dropouts["words"], name: value}
        if name == "regions":
            options["filters"] = 96 // len(value)  # 96 filters in all, as ever
        long_run.measure(
            run, partial(measure, run, "words", rates["words"], 0, **options)
        )
long_run.finish(seeds=list(SEEDS), steps=STEPS, batch=BATCH, tolerance=0.3)
