"""Encoder–decoders that translate software messages, 1.2 M parameters, from nothing.

With and without label smoothing; rates chosen on validation, three seeds of each, beam
and length penalty chosen on validation, then both tests. About 20 minutes of one core.
"""

# %% settings
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

from llm_tutorial.experiments import tune, with_seeds
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

STEPS, TUNING_STEPS, BATCH, SEEDS = 1600, 250, 32, range(3)
RATES = (5e-4, 1e-3, 2e-3)
SMOOTHING = {"smoothed": 0.1, "plain": 0.0}
PENALTIES = (0.0, 0.5, 1.0, 1.5, 2.0)

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
        save_every=100,
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
def chosen(sweep: dict[str, dict]) -> float:
    """The length penalty with the best chrF of those tried with four beams."""
    return max(PENALTIES, key=lambda alpha: sweep[f"4 beams, {alpha}"]["chrf"])


def measure(run: str, variant: str, seed: int) -> dict:
    model, losses = train(run, variant, rates[variant], seed, STEPS)
    held_out = long_run.few(data["validation"][::3])
    settings = {"1 beam": {}}
    settings |= {
        f"4 beams, {alpha}": {"num_beams": 4, "length_penalty": alpha}
        for alpha in PENALTIES
    }
    settings |= {
        f"{beams} beams, 0.0": {"num_beams": beams, "length_penalty": 0.0}
        for beams in (2, 8)
    }
    sweep = {}
    for name, options in settings.items():
        written = translate(model, tokenizer, held_out, **options)
        sweep[name] = score(written, held_out)
        sweep[name]["empty"] = 100 * sum(not text for text in written) / len(written)
    beam = {"num_beams": 4, "length_penalty": chosen(sweep)}
    found = {
        "losses": losses,
        "parameters": model.num_parameters(),
        "validation_loss": held_out_loss(model, tokenizer, held_out),
        "sweep": sweep,
        "length_penalty": beam["length_penalty"],
    }
    ways = {
        "greedy": {},
        "beam": beam,
        "constrained": beam | {"processor": PlaceholderLogitsProcessor},
    }
    for test in TESTS:
        asked = long_run.few(data[test])
        for way, options in ways.items():
            written = translate(model, tokenizer, asked, **options)
            found[f"{test}, {way}"] = score(written, asked)
            if way == "beam":
                found[f"{test}, draws"] = resampled(written, asked)
                found[f"{test}, sample draws"] = resampled(written[::10], asked[::10])
                found[f"{test}, sample"] = score(written[::10], asked[::10])
    if variant == "smoothed" and seed == 0:
        model.half().save_pretrained(long_run.folder)
        tokenizer.save_pretrained(long_run.folder)
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
with_seeds(long_run, list(SMOOTHING), SEEDS, measure)
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.2)
