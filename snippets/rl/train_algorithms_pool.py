"""Answers drawn first: best of n, rejection-sampling fine-tuning.

As many answers as the other methods draw in 12 steps, all from the untrained model.
"""

import os
from pathlib import Path

import torch

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import answer_loss, answer_tokens
from llm_tutorial.rl.pairs import best_of, examples
from llm_tutorial.rl.pool import drawn
from llm_tutorial.rl.sentences import MAX_NEW_TOKENS, english, measured, policy
from llm_tutorial.rl.three_words import (
    held_out_triples,
    prompt_of,
    succeeded,
    three_words,
    triples,
)
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS, fit

STEPS, PROMPTS, ANSWERS, RANK, RATE = 12, 8, 8, 8, 1e-3

long_run = LongRun("algorithms_pool", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
batches = [
    prompts[start : start + PROMPTS] for start in range(0, len(prompts), PROMPTS)
]
batches = batches[: 2 * int(os.environ.get(PROBED_STEPS, STEPS))]  # a probe: two
held_out = held_out_triples()
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}


def scored(groups):
    total = three_words().score([each for group in groups for each in group]).total
    return total.view(len(groups), -1)


def draw():
    kept = long_run.state / "untrained.jsonl"
    return drawn(load_model(), tokenizer, batches, kept, ANSWERS, MAX_NEW_TOKENS)


def untrained() -> dict:
    """Base rates, the best of n, and the English of the model's own successes."""
    model = load_model()
    groups = draw()
    rewards = scored(groups)
    full = (rewards > 1 - 1e-6).float()
    won = [
        [each for each, reward in zip(group, row, strict=True) if succeeded(reward)]
        for group, row in zip(groups, rewards.tolist(), strict=True)
    ]
    won = [group for group in won if group]
    return {
        "sampled": full.mean().item(),
        "reward": rewards.mean().item(),
        "silent": (rewards.std(1) < 1e-6).float().mean().item(),
        "best of": {n: best_of(full, n) for n in (1, 2, 4, 8)},
        "successes": sum(map(len, won)),
        "won": [group[0].text for group in won][:12],
        **{
            name: english(model, tokenizer, won, prompted) if won else 0.0
            for name, prompted in (("prompted", True), ("english", False))
        },
    }


def rejection(run: str) -> dict:
    groups = draw()
    flat = [each for group in groups for each in group]
    paid = scored(groups).flatten().tolist()
    data = examples([e for e, r in zip(flat, paid, strict=True) if succeeded(r)])
    model = policy(load_model(), RANK, seed=0)
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=RATE, weight_decay=0.0)
    losses = fit(
        model,
        lambda step: [data[(16 * step + n) % len(data)] for n in range(16)],
        optimizer,
        STEPS,
        state=long_run.state_of(run),
        save_every=1,
        description=run,
        loss_of=answer_loss,
        count=answer_tokens,
    )
    return {"losses": losses, "examples": len(data)} | measured(
        model, tokenizer, long_run.few(held_out), answers=2
    )


long_run.measure("untrained", untrained)
long_run.measure("fine-tuning", lambda: rejection("fine-tuning"))
long_run.finish(seeds=[0], steps=STEPS)
