"""Short runs of LoRA's variants on SmolLM2-135M, and of one mistake: no begin token before the prompt."""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora import add_lora, count_parameters, lora_plus_groups, pissa_init
from llm_tutorial.lora.task import batches, exact_match, held_out_loss, validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest, fit, linear_decay

MODEL, STEPS = "smollm2-135m", 30
BASE = {"rank": 8, "alpha": 32, "rate": 2e-3}
VARIANTS = {
    "no begin token": {"begin": False},
    "LoRA+": {"ratio": 4},
    "PiSSA": {"pissa": True, "alpha": 8, "rate": 5e-4},
    "DoRA": {"use_dora": True},
}

long_run = LongRun("low_rank_variants", Path(__file__))
pairs, validation = cldr_pairs(1600), validation_pairs()
long_run.data = {"train": data_digest(pairs), "validation": data_digest(validation)}


def train(run: str, rate: float, ratio: float = 1, pissa: bool = False, begin: bool = True, **options: object) -> dict:
    torch.manual_seed(0)
    tokenizer = load_tokenizer(MODEL)
    if not begin:
        tokenizer.bos_token = None
    model = add_lora(load_model(MODEL), **options)
    if pissa:
        pissa_init(model)
    optimizer = torch.optim.AdamW(lora_plus_groups(model, rate, ratio), weight_decay=0)
    losses = fit(
        model, batches(tokenizer, pairs), optimizer, STEPS, linear_decay(optimizer, STEPS),
        state=long_run.state_of(run), description=run,
    )  # fmt: skip
    return {
        "losses": losses,
        "curve": [round(loss, 4) for loss in losses],
        "percent": count_parameters(model).percent,
        "validation_loss": held_out_loss(model, tokenizer, validation),
        "validation": exact_match(model, tokenizer, validation),
    }


for run, changes in VARIANTS.items():
    long_run.measure(run, lambda run=run, changes=changes: train(run, **(BASE | changes)))
long_run.finish(seeds=[0], steps=STEPS)
