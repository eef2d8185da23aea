"""LoRA on SmolLM2-135M: two ranks, three seeds each, 150 steps of 16 pairs.

The adapter of rank 8, seed 0, is kept.
"""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.adapter import save_adapter
from llm_tutorial.lora.inject import count_parameters
from llm_tutorial.lora.task import (
    MODEL,
    forgetting,
    held_out_loss,
    quality,
    train_adapter,
    validation_pairs,
)
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest

STEPS, SEEDS = 150, range(3)
CHOICES = {  # alpha and learning rate that each rank is tried with
    8: [(32, 1e-3), (128, 5e-4)],
    2: [(8, 2e-3), (32, 1e-3)],
}

long_run = LongRun("low_rank", Path(__file__), probed_steps=3)
few = long_run.few
tokenizer = load_tokenizer(MODEL)
pairs = cldr_pairs(STEPS * 16)
test, validation = cldr_pairs(200, "held_out"), validation_pairs()
assert not {pair.english for pair in pairs} & {
    pair.english for pair in test + validation
}
long_run.data = {"train": data_digest(pairs), "held_out": data_digest(test)}


def train(
    run: str, rank: int, alpha: int, rate: float, seed: int
) -> tuple[torch.nn.Module, dict]:
    model, losses = train_adapter(
        tokenizer, pairs, STEPS, rate, seed,
        state=long_run.state_of(run), description=run, rank=rank, alpha=alpha,
    )  # fmt: skip
    return model, {"losses": losses, "alpha": alpha, "rate": rate}


def tune(run: str, rank: int, alpha: int, rate: float) -> dict:
    model, facts = train(run, rank, alpha, rate, seed=len(SEEDS))
    return facts | {"validation_loss": held_out_loss(model, tokenizer, few(validation))}


def measure(run: str, rank: int, alpha: int, rate: float, seed: int) -> dict:
    model, facts = train(run, rank, alpha, rate, seed)
    if (rank, seed) == (8, 0):
        save_adapter(model, long_run.folder / f"rank-{rank}", dtype=torch.float16)
    count = count_parameters(model)
    return facts | {
        "trained": count.trained, "percent": count.percent,
        **quality(model, tokenizer, few), **forgetting(model, tokenizer, few),
    }  # fmt: skip


def untrained() -> dict:
    model = load_model(MODEL)
    return {**quality(model, tokenizer, few), **forgetting(model, tokenizer, few)}


for rank, choices in CHOICES.items():
    tuned = {}
    for alpha, rate in choices:
        run = f"rank {rank}, alpha {alpha}, rate {rate:g}"
        tuned[alpha, rate] = long_run.measure(
            run, lambda run=run, rank=rank, a=alpha, r=rate: tune(run, rank, a, r)
        )
    alpha, rate = min(tuned, key=lambda choice: tuned[choice]["validation_loss"])
    for seed in SEEDS:
        run = f"rank {rank}, seed {seed}"
        long_run.measure(
            run,
            lambda run=run, rank=rank, a=alpha, r=rate, seed=seed: measure(
                run, rank, a, r, seed
            ),
        )
long_run.measure("untrained", untrained)
long_run.finish(seeds=list(SEEDS), steps=STEPS)
