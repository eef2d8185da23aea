"""Short runs of LoRA on SmolLM2-135M that differ in one setting each: rank, alpha, rate, target modules."""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora import add_lora, count_parameters
from llm_tutorial.lora.task import batches, exact_match, forgetting, held_out_loss, validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest, fit, linear_decay

MODEL, STEPS = "smollm2-135m", 30
BASE = {"rank": 8, "alpha": 32, "rate": 2e-3}
SWEEPS = {
    "base": {},
    **{f"rank {rank}": {"rank": rank, "alpha": 4 * rank} for rank in (1, 2, 64)},
    **{f"rate {rate:g}": {"rate": rate} for rate in (5e-4, 8e-3)},
    "query and value": {"target_modules": ["q_proj", "v_proj"]},
    "mlp": {"target_modules": ["gate_proj", "up_proj", "down_proj"]},
    **{f"alpha {alpha}": {"alpha": alpha} for alpha in (128, 8)},
    "attention": {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
}

long_run = LongRun("low_rank_sweeps", Path(__file__))
tokenizer = load_tokenizer(MODEL)
pairs, validation = cldr_pairs(1600), validation_pairs()
long_run.data = {"train": data_digest(pairs), "validation": data_digest(validation)}


def train(run: str, rate: float, **options: object) -> dict:
    torch.manual_seed(0)
    model = add_lora(load_model(MODEL), **options)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0)
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
        **(forgetting(model, tokenizer) if run.startswith(("base", "rank", "rate")) else {}),
    }


for run, changes in SWEEPS.items():
    long_run.measure(run, lambda run=run, changes=changes: train(run, **(BASE | changes)))
long_run.finish(seeds=[0], steps=STEPS)
