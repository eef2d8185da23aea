"""LoRA on SmolLM2-135M: two ranks, three seeds each, 100 steps of 16 pairs; the adapters of seed 0 are kept."""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora import add_lora, count_parameters, save_adapter
from llm_tutorial.lora.task import batches, forgetting, quality
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest, fit, linear_decay

MODEL, STEPS, SEEDS = "smollm2-135m", 100, range(3)
SETTINGS = {8: 2e-3, 2: 4e-3}  # learning rate of each rank; alpha is four times the rank

long_run = LongRun("low_rank", Path(__file__))
tokenizer = load_tokenizer(MODEL)
pairs = cldr_pairs(STEPS * 16)
test = cldr_pairs(200, "held_out")
assert not {pair.english for pair in pairs} & {pair.english for pair in test}
long_run.data = {"train": data_digest(pairs), "held_out": data_digest(test)}


def train(rank: int, seed: int) -> dict:
    run = f"rank {rank}, seed {seed}"
    torch.manual_seed(seed)
    model = add_lora(load_model(MODEL), rank=rank, alpha=4 * rank)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=SETTINGS[rank], weight_decay=0)
    losses = fit(
        model, batches(tokenizer, pairs, seed=seed), optimizer, STEPS, linear_decay(optimizer, STEPS),
        state=long_run.state_of(run), seed=seed, description=run,
    )  # fmt: skip
    if seed == 0:
        save_adapter(model, long_run.folder / f"rank-{rank}", dtype=torch.float16)
    count = count_parameters(model)
    return {
        "losses": losses, "trained": count.trained, "percent": count.percent,
        **quality(model, tokenizer), **forgetting(model, tokenizer),
    }  # fmt: skip


def untrained() -> dict:
    model = load_model(MODEL)
    return {**quality(model, tokenizer), **forgetting(model, tokenizer)}


for seed in SEEDS:
    for rank in SETTINGS:
        long_run.measure(f"rank {rank}, seed {seed}", lambda rank=rank, seed=seed: train(rank, seed))
long_run.measure("untrained", untrained)
long_run.finish(seeds=list(SEEDS), steps=STEPS)
