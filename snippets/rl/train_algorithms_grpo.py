"""GRPO on SmolLM2-135M at the task of three words: three seeds, answers kept."""

from pathlib import Path

import torch

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.rl.methods import grpo
from llm_tutorial.rl.sentences import MAX_NEW_TOKENS, measured, policy
from llm_tutorial.rl.three_words import (
    held_out_triples,
    prompt_of,
    three_words,
    triples,
)
from llm_tutorial.rl.trainer import train
from llm_tutorial.runs import LongRun, data_digest

STEPS, PROMPTS, ANSWERS, RANK, RATE, SEEDS = 30, 8, 8, 8, 1e-3, range(3)
SHOWN = (0, 4, 9, 14, 19, 29)  # steps of which an answer is kept

long_run = LongRun("algorithms_grpo", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
held_out = held_out_triples()
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}


def untrained() -> dict:
    return measured(load_model(), tokenizer, long_run.few(held_out))


def run_grpo(run: str, seed: int) -> dict:
    model = policy(load_model(), RANK, seed)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0
    )
    shown = {}

    def keep(step, groups, rewards):
        best = int(rewards.total[:ANSWERS].argmax())
        shown[step] = groups[0][best].text

    records = train(
        model, tokenizer, lambda step: prompts[step * PROMPTS : (step + 1) * PROMPTS],
        three_words().score, grpo(), optimizer, STEPS, ANSWERS, MAX_NEW_TOKENS,
        state=long_run.state_of(run), seed=seed, description=run, each=keep,
    )  # fmt: skip
    return {
        "losses": [record["reward"] for record in records],
        "curve": records,
        "shown": {step: shown[step] for step in SHOWN if step in shown},
        **measured(model, tokenizer, long_run.few(held_out)),
    }


long_run.measure("untrained", untrained)
for seed in SEEDS:
    run = f"GRPO, seed {seed}"
    long_run.measure(run, lambda run=run, seed=seed: run_grpo(run, seed))
long_run.finish(seeds=list(SEEDS), steps=STEPS)
