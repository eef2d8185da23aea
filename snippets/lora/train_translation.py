"""Translating software messages: three kinds of attention over a catalogue.

And a message alone; 2.6 M parameters. Plan, in minutes of one core: two learning rates,
60 steps each, chosen on validation, 4; then dense, sparse with learned entities and
window only, three seeds each, and the message alone, two, 22; last one seed each
without the memory's neighbour, without the catalogue, with half the context, and with
four times the entities, 8: about 35.
"""

from pathlib import Path

import torch

from llm_tutorial.data.messages import messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.experiments import tune
from llm_tutorial.lora.translation import (
    Reader,
    TranslationMemory,
    held_out_loss,
    score,
    train_translator,
)
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.timing import curve

STEPS, TUNING_STEPS, SEEDS = 160, 60, range(3)
RATES = (1e-3, 2e-3)
VARIANTS = {  # attention, context
    "dense": ({"attention": "dense", "entities": "none"}, {}),
    "sparse": ({}, {}),
    "window": ({"entities": "none"}, {}),
    "alone": (  # fits one block anyway
        {"attention": "dense", "entities": "none"},
        {"catalogue": False, "memory": False},
    ),
}
TUNED_AS = {"window": "sparse"}  # the others are tuned themselves
SWEEP = {
    "no memory": ({}, {"memory": False}),
    "no catalogue": ({}, {"catalogue": False}),
    "512 tokens": ({}, {"length": 512}),
    "128 entities": ({"num_entities": 128}, {}),
}  # all of it, 1,024 tokens and 32 entities are the sparse run of seed 0

torch.set_num_threads(1)
long_run = LongRun("translation", Path(__file__))
few = long_run.few
split = {name: messages(name) for name in ("train", "validation", "test")}
assert not {key_of(m.english) for m in split["train"]} & {
    key_of(m.english) for m in split["validation"] + split["test"]
}
long_run.data = {name: data_digest(split[name]) for name in split}
SAMPLE = split["test"][::8]  # those that train_translation_lora.py translates, too
whole = Reader(split["train"])


def reader_of(**context: object) -> Reader:
    """A reader that shows other context, with the same subwords and the same memory."""
    reader = Reader(split["train"], tokenizer=whole.tokenizer, **context)
    reader.nearest = whole.nearest
    return reader


def validate(run: str, variant: str, rate: float) -> dict:
    options, context = VARIANTS[variant]
    reader = reader_of(**context)
    model, losses, _ = train_translator(
        reader, TUNING_STEPS, rate, len(SEEDS), long_run.state_of(run), run, **options
    )
    rows = few(reader.held_out(split["validation"])[::6])
    return {
        "losses": losses,
        "rate": rate,
        "validation_loss": held_out_loss(model, reader, rows),
    }


def measure(run: str, options: dict, context: dict, rate: float, seed: int) -> dict:
    reader = reader_of(**context)
    model, losses, pace = train_translator(
        reader, STEPS, rate, seed, long_run.state_of(run), run, **options
    )
    translations = model.translate(
        few(reader.held_out(split["test"])),
        reader.tokenizer,
        8 if reader.catalogue else 32,
    )
    return {
        "losses": losses, "rate": rate, **scores(translations),
        "curve": curve(losses, pace),
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


def scores(translations: dict) -> dict:
    """Of all messages, and of those in an order of the source; and what some became."""
    in_order = {
        m: text
        for m, text in translations.items()
        if not m.catalogue.startswith("jupyterlab")
    }
    return {
        **score(translations),
        "source order": score(in_order),
        "sample": [translations[m] for m in SAMPLE if m in translations],
    }


def memory() -> dict:
    asked = few(split["test"], 100)
    found = TranslationMemory(split["train"]).translate(asked)
    return scores(dict(zip(asked, found, strict=True)))


long_run.measure("memory", memory)
rates = {
    variant: tune(
        long_run,
        variant,
        RATES,
        lambda run, rate, v=variant: validate(run, v, rate),
        by="validation_loss",
        best=min,
    )
    for variant in VARIANTS
    if variant not in TUNED_AS
}
rates |= {variant: rates[other] for variant, other in TUNED_AS.items()}
for seed in SEEDS:
    for variant, (options, context) in VARIANTS.items():
        if variant != "alone" or seed < 2:
            run = f"{variant}, seed {seed}"
            long_run.measure(
                run,
                lambda run=run, v=variant, o=options, c=context, s=seed: measure(
                    run, o, c, rates[v], s
                ),
            )
for name, (options, context) in SWEEP.items():
    run = f"{name}, seed 0"
    long_run.measure(
        run,
        lambda run=run, o=options, c=context: measure(run, o, c, rates["sparse"], 0),
    )
# the curves hold times of this machine
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
