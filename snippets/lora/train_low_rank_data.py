"""How many examples LoRA needs: 10 to 1,000 pairs, seen again and again for 40 steps."""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora import add_lora
from llm_tutorial.lora.task import batches, exact_match, held_out_loss
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import LongRun, data_digest, fit, linear_decay

MODEL, STEPS, RANK, RATE = "smollm2-135m", 40, 8, 2e-3

long_run = LongRun("low_rank_data", Path(__file__))
tokenizer = load_tokenizer(MODEL)
pairs, test = cldr_pairs(1000), cldr_pairs(200, "held_out")
assert not {pair.english for pair in pairs} & {pair.english for pair in test}
long_run.data = {"train": data_digest(pairs), "held_out": data_digest(test)}


def train(count: int) -> dict:
    torch.manual_seed(0)
    model = add_lora(load_model(MODEL), rank=RANK, alpha=4 * RANK)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0)
    run = f"{count} pairs"
    losses = fit(
        model, batches(tokenizer, pairs[:count]), optimizer, STEPS, linear_decay(optimizer, STEPS),
        state=long_run.state_of(run), description=run,
    )  # fmt: skip
    return {
        "losses": losses,
        "train": exact_match(model, tokenizer, pairs[: min(count, 100)]),
        "held_out": exact_match(model, tokenizer, test),
        "held_out_loss": held_out_loss(model, tokenizer, test),
    }


for count in (10, 30, 100, 300, 1000):
    long_run.measure(f"{count} pairs", lambda count=count: train(count))
long_run.finish(seeds=[0], steps=STEPS)
