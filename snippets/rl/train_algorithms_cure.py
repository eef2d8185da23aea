"""Sentences that stay sentences: a KL in the reward, of several strengths; Dr. GRPO.

The optimum of reward - beta * KL(answer) is the old model times exp(reward / beta).
A missing word costs 0.2: beta = 0.02 makes a full answer e^10 times as likely as one
that misses a word, and leaves the proportions among the full ones as they were.
"""

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

STEPS, PROMPTS, ANSWERS, RANK, SEEDS = 40, 8, 8, 8, range(3)
STRENGTHS = (0.005, 0.02, 0.06)  # beta, nats of an answer
RATES = (1e-3, 3e-4)

long_run = LongRun("algorithms_cure", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
held_out, validation = held_out_triples(), triples(32, seed=2)
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}


def run_with_kl(run: str, beta: float, rate: float, seed: int, tested) -> dict:
    model = policy(load_model(), RANK, seed)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0
    )
    records = train(
        model,
        tokenizer,
        lambda step: prompts[step * PROMPTS : (step + 1) * PROMPTS],
        three_words().score,
        grpo("dr_grpo", kl_in_reward=beta),
        optimizer,
        STEPS,
        ANSWERS,
        MAX_NEW_TOKENS,
        state=long_run.state_of(run),
        seed=seed,
        description=run,
    )
    if tested is held_out and seed == 0:
        model.save_pretrained(long_run.folder / "adapter")
    return {
        "losses": [record["reward"] for record in records],
        "curve": records,
        "beta": beta,
        "rate": rate,
        **measured(model, tokenizer, long_run.few(tested)),
    }


found = {}
for beta in STRENGTHS:
    for rate in RATES:
        run = f"beta {beta:g}, rate {rate:g}"
        found[beta, rate] = long_run.measure(
            run,
            lambda run=run, b=beta, r=rate: run_with_kl(
                run, b, r, len(SEEDS), validation
            ),
        )
# chosen by success times the share of different frames, on words of training
beta, rate = max(
    found, key=lambda choice: found[choice]["sampled"] * found[choice]["frames"]
)
for seed in SEEDS:
    run = f"chosen, seed {seed}"
    long_run.measure(
        run,
        lambda run=run, seed=seed: run_with_kl(run, beta, rate, seed, held_out),
    )
long_run.finish(seeds=list(SEEDS), steps=STEPS)
