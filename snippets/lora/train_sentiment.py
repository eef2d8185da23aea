"""Positive or negative: three kinds of attention on joined reviews and on single ones.

Three seeds each; joined, the reviews make long documents. Plan, in minutes of one core:
the learning rate of each kind, the best of three on validation, 8; then eighteen runs
of one and a half (dense joined: three), 32; a sweep of window and number of entities,
one seed, 7; last the best kind for four times as many steps, 6: about 55 minutes on one
thread.
"""

import itertools
import statistics
from functools import partial
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from llm_tutorial.data.reviews import joined_reviews, reviews
from llm_tutorial.experiments import tune
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.sentiment import (
    accuracy,
    count_reviews,
    encode_reviews,
    labels_of,
    review_loss,
)
from llm_tutorial.lora.tagging import SENTENCE_ENDS
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.timing import Paced, curve
from llm_tutorial.tokenizers import character_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, TUNING_STEPS, LONG_STEPS, SEEDS = 300, 100, 1200, range(3)
RATES = (5e-4, 1e-3, 2e-3)
VARIANTS = {
    "dense": {"attention": "dense", "entities": "none"},
    "sparse": {},
    "window": {"entities": "none"},
}
FORMS = {"joined": False, "alone": True}
SWEEP = {
    "window 0": {"window": 0},
    "window 2": {"window": 2},
    "8 entities": {"num_entities": 8},
    "128 entities": {"num_entities": 128},
}  # one block and 32 entities are the joined run of seed 0

torch.set_num_threads(1)
long_run = LongRun("sentiment", Path(__file__))
few = long_run.few
texts = {
    split: [review.text for review in reviews(split)]
    for split in ("train", "validation", "test")
}
assert not set(texts["train"]) & set(texts["validation"] + texts["test"])
tokenizer = character_tokenizer(texts["train"])
known = tokenizer.get_vocab()
# beside the encoder's own 4 heads of 64, block of 64, window of one block, 32 entities
SIZES = {
    "vocab_size": len(known), "num_labels": 2, "num_hidden_layers": 2,
    "intermediate_size": 512, "num_types": 1, "bigram_buckets": 2**15,
    "rope_theta": 100.0, "dropout": 0.1, "relations": ("same surface", "same sentence"),
    "sentence_ends": tuple(known[end] for end in SENTENCE_ENDS if end in known),
}  # fmt: skip
epochs = [
    encode_reviews(joined_reviews("train", seed=epoch), tokenizer) for epoch in range(4)
]
# each epoch joins the reviews in an order of its own
training = list(itertools.chain(*epochs))
joined = {split: joined_reviews(split) for split in ("validation", "test")}
held_out = {
    split: encode_reviews(documents, tokenizer) for split, documents in joined.items()
}
long_run.data = {split: data_digest(reviews(split)) for split in texts}


def train(
    run: str,
    form: str,
    variant: str,
    rate: float,
    seed: int,
    steps: int,
    **options: object,
) -> tuple:
    """The trained model, its losses, and the seconds of one core that a step takes."""
    torch.manual_seed(seed)
    model = RelationSparseForTokenClassification(
        RelationSparseConfig(**SIZES | VARIANTS[variant] | options)
    )
    batch_at = Paced(lambda step: [training[(100 * seed + step) % len(training)]])
    optimizer = adamw(model, rate, ("embedding", "bigram.pair"))
    losses = fit(
        model, batch_at, optimizer, steps, linear_decay(optimizer, steps, warmup=20),
        long_run.state_of(run), seed, save_every=100, description=run,
        loss_of=partial(review_loss, alone=FORMS[form]), count=count_reviews,
    )  # fmt: skip
    return model, losses, statistics.mean(batch_at.seconds or [0.0])


def validate(run: str, form: str, variant: str, rate: float) -> dict:
    model, losses, _ = train(run, form, variant, rate, len(SEEDS), TUNING_STEPS)
    found = accuracy(model, few(held_out["validation"]), FORMS[form])
    return {"losses": losses, "rate": rate, "validation_accuracy": found}


def measure(
    run: str,
    form: str,
    variant: str,
    rate: float,
    seed: int,
    steps: int = STEPS,
    **options: object,
) -> dict:
    model, losses, pace = train(run, form, variant, rate, seed, steps, **options)
    metrics = {"validation": accuracy(model, few(held_out["validation"]), FORMS[form])}
    if not options:  # the sweep chooses, so it is not told of the test set
        metrics["test"] = accuracy(model, few(held_out["test"]), FORMS[form])
    return {
        "losses": losses, "rate": rate, **metrics,
        "parameters": sum(p.numel() for p in model.parameters()),
        "curve": curve(losses, pace),
    }  # fmt: skip


def bag_of_ngrams() -> dict:
    """Logistic regression on character n-grams, length and penalty by validation."""
    given = {
        split: [d.text[s.start : s.end] for d in documents for s in d.spans]
        for split, documents in joined.items()
    }
    gold = {split: labels_of(documents) for split, documents in held_out.items()}
    taught = [review.label for review in reviews("train")]
    tried = {}
    for longest in few((2, 3, 4), 1):
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, longest), min_df=2, sublinear_tf=True
        )
        vectors = vectorizer.fit_transform(texts["train"])
        for penalty in few((1, 4, 16), 1):
            model = LogisticRegression(C=penalty, max_iter=1000).fit(vectors, taught)
            score = {
                split: model.score(vectorizer.transform(given[split]), gold[split])
                for split in given
            }
            tried[longest, penalty] = {**score, "longest": longest, "C": penalty}
    return max(tried.values(), key=lambda found: found["validation"])


long_run.measure("TF-IDF", bag_of_ngrams)
rates = {}
for form, variant in itertools.product(FORMS, VARIANTS):
    rates[form, variant] = tune(
        long_run, f"{variant}, {form}", RATES,
        lambda run, rate, form=form, v=variant: validate(run, form, v, rate),
        by="validation_accuracy",
    )  # fmt: skip
validated: dict[tuple, list] = {}
for seed, form, variant in itertools.product(SEEDS, FORMS, VARIANTS):
    run = f"{variant}, {form}, seed {seed}"
    found = long_run.measure(
        run,
        lambda run=run, form=form, v=variant, seed=seed: measure(
            run, form, v, rates[form, v], seed
        ),
    )
    validated.setdefault((form, variant), []).append(found["validation"])
for name, options in SWEEP.items():
    run = f"{name}, seed 0"
    long_run.measure(
        run,
        lambda run=run, o=options: measure(
            run, "joined", "sparse", rates["joined", "sparse"], 0, **o
        ),
    )
form, variant = max(validated, key=lambda key: statistics.mean(validated[key]))
run = f"long, {variant}, {form}"
long_run.measure(
    run, lambda: measure(run, form, variant, rates[form, variant], 0, LONG_STEPS)
)
# the curves hold times of this machine
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3, longest_run=run)
