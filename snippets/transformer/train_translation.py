"""Encoder–decoders that translate software messages, 1.2 M parameters, from nothing.

With and without label smoothing; rates chosen on validation, three seeds of each, beam
and length penalty chosen on validation, then both tests. About 20 minutes of one core.
"""

# %% settings
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

from llm_tutorial.experiments import tune
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.placeholders import PlaceholderLogitsProcessor
from llm_tutorial.transformer.scores import resampled, score
from llm_tutorial.transformer.translation import (
    TESTS,
    batches,
    count_for,
    held_out_loss,
    loss_for,
    translate,
    translation_config,
    translation_data,
    translation_tokenizer,
)

STEPS, TUNING_STEPS, BATCH, SEEDS = 1400, 250, 32, range(3)
RATES = (1e-3, 2e-3, 4e-3)
SMOOTHING = {"smoothed": 0.1, "plain": 0.0}
BEAMS = {2: (0.0,), 4: (0.0, 0.5, 1.0, 1.5, 2.0), 8: (0.0,)}  # length penalties
WAYS = ("greedy", "beam", "constrained")

torch.set_num_threads(1)
long_run = LongRun("translation", Path(__file__))
data = translation_data()
long_run.data = {name: data_digest(part) for name, part in data.items()}
tokenizer = translation_tokenizer(data["train"])


# %% train
def train(run: str, variant: str, rate: float, seed: int, steps: int):
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(translation_config(tokenizer))
    optimizer = adamw(model, rate, rare=["shared"])  # embeddings take longer steps
    losses = fit(
        model,
        batches(tokenizer, data["train"], BATCH, seed),
        optimizer,
        steps,
        linear_decay(optimizer, steps, warmup=60),
        long_run.state_of(run),
        seed,
        save_every=25,
        description=run,
        loss_of=loss_for(tokenizer, SMOOTHING[variant]),
        count=count_for(tokenizer),
    )
    return model, losses


def validate(variant: str, run: str, rate: float) -> dict:
    model, losses = train(run, variant, rate, len(SEEDS), TUNING_STEPS)
    loss = held_out_loss(model, tokenizer, long_run.few(data["validation"], 16))
    return {"losses": losses, "rate": rate, "validation_loss": loss}


# %% measure
def kept_model(variant: str, seed: int) -> Path:
    return long_run.state / "models" / f"{variant}-{seed}"


def trained(run: str, variant: str, seed: int) -> dict:
    model, losses = train(run, variant, rates[variant], seed, STEPS)
    model.save_pretrained(kept_model(variant, seed))
    loss = held_out_loss(model, tokenizer, long_run.few(data["validation"]))
    parameters = model.num_parameters()
    return {"losses": losses, "validation_loss": loss, "parameters": parameters}


def load(variant: str, seed: int):
    return AutoModelForSeq2SeqLM.from_pretrained(kept_model(variant, seed))


def swept(variant: str, seed: int) -> dict:
    model, asked = load(variant, seed), long_run.few(data["validation"][::3])
    settings = {"1 beam": {}}
    for beams, penalties in BEAMS.items():
        for alpha in penalties:
            options = {"num_beams": beams, "length_penalty": alpha}
            settings[f"{beams} beams, {alpha}"] = options
    sweep = {}
    for name, options in settings.items():
        written = translate(model, tokenizer, asked, **options)
        empty = 100 * sum(not text for text in written) / len(written)
        sweep[name] = {**score(written, asked), "empty": empty}
    return sweep


def tested(variant: str, way: str, seed: int) -> dict:
    sweep = long_run.runs[f"{variant} sweep, seed {seed}"]
    penalty = max(BEAMS[4], key=lambda alpha: sweep[f"4 beams, {alpha}"]["chrf"])
    options = {} if way == "greedy" else {"num_beams": 4, "length_penalty": penalty}
    if way == "constrained":
        options["processor"] = PlaceholderLogitsProcessor
    model, found = load(variant, seed), {"length_penalty": penalty}
    for test in TESTS:
        asked = long_run.few(data[test])
        written = translate(model, tokenizer, asked, **options)
        found[test] = score(written, asked)
        if way == "beam":
            found[f"{test} draws"] = resampled(written, asked)
            found[f"{test} sample"] = score(written[::10], asked[::10])
            found[f"{test} sample draws"] = resampled(written[::10], asked[::10])
    return found


# %% run
rates = {
    variant: tune(
        long_run,
        variant,
        RATES,
        lambda run, rate, variant=variant: validate(variant, run, rate),
        by="validation_loss",
        best=min,
    )
    for variant in SMOOTHING
}
for seed in SEEDS:
    for variant in SMOOTHING:
        run = f"{variant}, seed {seed}"
        long_run.measure(run, partial(trained, run, variant, seed))
for seed in SEEDS:
    for variant in SMOOTHING:
        run = f"{variant} sweep, seed {seed}"
        long_run.measure(run, partial(swept, variant, seed))
        for way in WAYS:
            run = f"{variant} {way}, seed {seed}"
            long_run.measure(run, partial(tested, variant, way, seed))
load("smoothed", 0).half().save_pretrained(long_run.folder)
tokenizer.save_pretrained(long_run.folder)
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.2)
