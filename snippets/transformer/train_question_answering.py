"""A span head on MiniLM and on the same architecture from nothing, beside BM25.

Plan, in minutes of one core: three rates for each of both, 160 steps of 8 questions,
10, and 2 for each rate more where the best is an end; both with three seeds and their
evaluation, 14: about 24.
"""

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
    judge,
    lexical,
    loss_of,
    own_tokenizer,
    predict,
    windows,
)
from llm_tutorial.transformer.question_data import (
    answer_line,
    lengthened,
    question_examples,
    written_examples,
)

STEPS, BATCH, SEEDS = 160, 8, range(3)
VARIANTS, RATES, FACTOR = ("MiniLM", "from scratch"), (1e-4, 4e-4, 1.6e-3), 4

torch.set_num_threads(1)
logging.set_verbosity_error()
long_run = LongRun("question_answering", Path(__file__))
few = long_run.few
train_set = question_examples("train", 2600)
validation = question_examples("validation", 260)
longer = lengthened(validation[:130])  # as many windows as the questions by hand need
test = question_examples("test", 260)
written = written_examples()
long_run.data = {
    "train": data_digest(train_set),
    "validation": data_digest(validation),
    "longer": data_digest(longer),
    "test": data_digest(test),
    "written": data_digest(written),
}
groups = [{each.group for each in part} for part in (train_set, validation, test)]
assert sum(map(len, groups)) == len(set.union(*groups)), "a group stands in two splits"
known = {line for each in train_set for line in each.context.split("\n")}
for each in (*validation, *test):
    assert not each.answer or answer_line(each) not in known, "its answer was read"
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


def train(run: str, variant: str, rate: float, seed: int) -> tuple:
    model = untrained(variant, seed)
    optimizer = adamw(model, rate)
    losses = fit(
        model, batches(train_windows[variant], BATCH, seed), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=10), long_run.state_of(run), seed,
        description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    return model, losses


@torch.inference_mode()
def validation_loss(model: torch.nn.Module, variant: str) -> float:
    found = few(windows(tokenizers[variant], validation))
    parts = [found[at : at + BATCH] for at in range(0, len(found), BATCH)]
    return sum(float(loss_of(model, part, "cpu")) for part in parts) / len(found)


def validate(run: str, variant: str, rate: float) -> dict:
    model, losses = train(run, variant, rate, len(SEEDS))
    return {"losses": losses, "validation_loss": validation_loss(model, variant)}


def best_rate(variant: str) -> float:
    """The rate with the lowest loss on validation, of a range whose ends lose."""
    rates = list(RATES)
    while True:
        best = tune(
            long_run, variant, rates, lambda run, rate: validate(run, variant, rate),
            by="validation_loss", best=min,
        )  # fmt: skip
        if best not in (rates[0], rates[-1]):
            return best
        lower = best == rates[0]
        rates = [best / FACTOR, *rates] if lower else [*rates, best * FACTOR]


def judged(predictor) -> dict:
    sets = {"validation": validation, "longer": longer, "test": test}
    sets["written"] = written
    return judge(predictor, {name: few(part) for name, part in sets.items()})


def measure(run: str, variant: str, rate: float, seed: int) -> dict:
    model, losses = train(run, variant, rate, seed)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"losses": losses, "rate": rate, "trained": trained} | judged(
        lambda examples: predict(model, tokenizers[variant], examples)
    )


for clauses in (False, True):
    name = "clause" if clauses else "line"
    long_run.measure(
        f"BM25, {name}",
        lambda clauses=clauses: judged(
            lambda examples: lexical(examples, clauses=clauses)
        ),
    )
rates = {variant: best_rate(variant) for variant in VARIANTS}
with_seeds(
    long_run, VARIANTS, SEEDS, lambda run, v, seed: measure(run, v, rates[v], seed)
)
long_run.finish(seeds=list(SEEDS), steps=STEPS, batch=BATCH, tolerance=0.2)
