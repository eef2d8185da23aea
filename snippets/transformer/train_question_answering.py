"""A span head on MiniLM and on the same architecture from nothing, beside BM25.

Plan, in minutes of one core: three rates for each of both, 60 steps, 3; both with
three seeds, 160 steps of 8 questions and their evaluation, 10: about 13.
"""

import statistics
from pathlib import Path

import torch
from transformers import BertConfig, BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.question_answering import (
    batches,
    best_threshold,
    by_kind,
    lexical,
    loss_of,
    own_tokenizer,
    predict,
    scores,
    windows,
)
from llm_tutorial.transformer.question_data import (
    question_examples,
    written_examples,
)

STEPS, TUNING_STEPS, BATCH, SEEDS = 160, 60, 8, range(3)
RATES = {
    "MiniLM": (2e-4, 6e-4, 2e-3),
    "from scratch": (1e-4, 5e-4, 2.5e-3),
}

torch.set_num_threads(1)
logging.set_verbosity_error()
long_run = LongRun("question_answering", Path(__file__))
few = long_run.few
train_set = question_examples("train", 2600)
validation = question_examples("validation", 130)
test = question_examples("test", 260)
written = written_examples()
long_run.data = {
    "train": data_digest(train_set),
    "validation": data_digest(validation),
    "test": data_digest(test),
    "written": data_digest(written),
}
groups = [{each.group for each in part} for part in (train_set, validation, test)]
assert sum(map(len, groups)) == len(set.union(*groups)), "a group stands in two splits"
texts = [text for each in train_set for text in (each.question, each.context)]
tokenizers = {"MiniLM": load_tokenizer("minilm"), "from scratch": own_tokenizer(texts)}
train_windows = {name: windows(each, train_set) for name, each in tokenizers.items()}


def untrained(variant: str, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    folder = model_folder("minilm")
    if variant == "from scratch":
        size = len(tokenizers[variant])
        return BertForQuestionAnswering(
            BertConfig.from_pretrained(folder, vocab_size=size)
        )
    return BertForQuestionAnswering.from_pretrained(folder)


def train(run: str, variant: str, rate: float, seed: int, steps: int) -> tuple:
    model = untrained(variant, seed)
    optimizer = adamw(model, rate)
    losses = fit(
        model, batches(train_windows[variant], BATCH, seed), optimizer, steps,
        linear_decay(optimizer, steps, warmup=10), long_run.state_of(run), seed,
        description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return model, losses


@torch.inference_mode()
def validation_loss(model: torch.nn.Module, variant: str) -> float:
    found = few(windows(tokenizers[variant], validation))
    parts = [found[at : at + BATCH] for at in range(0, len(found), BATCH)]
    return sum(float(loss_of(model, part, "cpu")) for part in parts) / len(found)


def validate(run: str, variant: str, rate: float) -> dict:
    model, losses = train(run, variant, rate, len(SEEDS), TUNING_STEPS)
    return {
        "losses": losses,
        "rate": rate,
        "validation_loss": validation_loss(model, variant),
    }


def judged(predictor) -> dict:
    """Scores on all test sets, at the threshold that validation asks for."""
    sets = {
        "validation": few(validation),
        "seen wordings": few([each for each in test if not each.new_wording]),
        "new wordings": few([each for each in test if each.new_wording]),
        "written": few(written),
    }
    said = {name: predictor(examples) for name, examples in sets.items()}
    threshold = best_threshold(said["validation"], sets["validation"])
    both = ("seen wordings", "new wordings")
    asked, answers = (
        [each for name in both for each in part[name]] for part in (sets, said)
    )
    return {
        "threshold": threshold,
        "sets": {name: scores(said[name], sets[name], threshold) for name in sets},
        "test": scores(answers, asked, threshold),
        "kinds": by_kind(answers, asked, threshold),
    }


def measure(run: str, variant: str, rate: float, seed: int) -> dict:
    model, losses = train(run, variant, rate, seed, STEPS)
    found = judged(lambda examples: predict(model, tokenizers[variant], examples))
    return {
        "losses": losses, "rate": rate, "f1": found["test"]["f1"], **found,
        "end_loss": statistics.mean(losses[-20:]),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }  # fmt: skip


for clauses in (False, True):
    name = "clause" if clauses else "line"
    long_run.measure(
        f"BM25, {name}",
        lambda clauses=clauses: judged(
            lambda examples: lexical(examples, clauses=clauses)
        ),
    )
rates = {
    variant: tune(
        long_run, variant, RATES[variant],
        lambda run, rate, v=variant: validate(run, v, rate),
        by="validation_loss", best=min,
    )
    for variant in RATES
}  # fmt: skip
with_seeds(
    long_run, list(RATES), SEEDS, lambda run, v, seed: measure(run, v, rates[v], seed)
)
long_run.finish(seeds=list(SEEDS), steps=STEPS, batch=BATCH, tolerance=0.2)
