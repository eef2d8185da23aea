"""Short runs of LoRA on SmolLM2-135M that differ in one thing each.

Rank, alpha, rate, modules, variant.
"""

from pathlib import Path

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.inject import count_parameters
from llm_tutorial.lora.task import (
    MODEL,
    exact_match,
    forgetting,
    held_out_loss,
    train_adapter,
    validation_pairs,
)
from llm_tutorial.models import load_tokenizer
from llm_tutorial.runs import LongRun, data_digest

STEPS = 30
BASE = {"rank": 8, "alpha": 128, "learning_rate": 5e-4}
SWEEPS = {
    "base": {},
    **{f"rank {rank}": {"rank": rank, "alpha": 16 * rank} for rank in (1, 2, 16, 64)},
    **{f"rate {rate:g}": {"learning_rate": rate} for rate in (2.5e-4, 1e-3, 2e-3)},
    **{f"alpha {alpha}": {"alpha": alpha} for alpha in (32, 512)},
    "alpha 32, rate 0.002": {"alpha": 32, "learning_rate": 2e-3},
    "rank 64, alpha 128": {"rank": 64},
    # as many parameters as rank 8 on all linear layers
    "query and value, rank 42": {
        "target_modules": ["q_proj", "v_proj"],
        "rank": 42,
        "alpha": 16 * 42,
    },
    "attention, rank 21": {
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "rank": 21,
        "alpha": 16 * 21,
    },
    "mlp, rank 13": {
        "target_modules": ["gate_proj", "up_proj", "down_proj"],
        "rank": 13,
        "alpha": 16 * 13,
    },
    "LoRA+, ratio 4": {"learning_rate": 2.5e-4, "ratio": 4},
    "PiSSA, rate 0.0005": {"pissa": True, "alpha": 8},
    "PiSSA, rate 0.001": {"pissa": True, "alpha": 8, "learning_rate": 1e-3},
    "DoRA": {"use_dora": True},
    "no begin token": {},
}
WITH_FORGETTING = ("base", "rank", "rate", "alpha", "DoRA", "LoRA+", "PiSSA")

long_run = LongRun("low_rank_sweeps", Path(__file__), probed_steps=3)
few = long_run.few
pairs, validation = cldr_pairs(STEPS * 16), validation_pairs()
long_run.data = {"train": data_digest(pairs), "validation": data_digest(validation)}


def train(run: str, **options: object) -> dict:
    tokenizer = load_tokenizer(MODEL)
    if run == "no begin token":
        tokenizer.bos_token = None
    model, losses = train_adapter(
        tokenizer,
        pairs,
        STEPS,
        state=long_run.state_of(run),
        description=run,
        **options,
    )
    return {
        "losses": losses,
        "percent": count_parameters(model).percent,
        "validation_loss": held_out_loss(model, tokenizer, few(validation)),
        "validation": exact_match(model, tokenizer, few(validation)),
        **(
            forgetting(model, tokenizer, few) if run.startswith(WITH_FORGETTING) else {}
        ),
    }


for run, changes in SWEEPS.items():
    long_run.measure(
        run, lambda run=run, changes=changes: train(run, **(BASE | changes))
    )
long_run.finish(seeds=[0], steps=STEPS)
