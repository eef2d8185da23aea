"""Sentences that stay sentences: a KL in the reward, weak, strong, or none.

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
from llm_tutorial.rl.transcript import Transcript
from llm_tutorial.runs import LongRun, data_digest

STEPS, PROMPTS, ANSWERS, RANK, RATE, SEEDS = 12, 8, 8, 8, 1e-3, range(3)
CURES = {  # weight, seeds
    "no KL": (0.0, range(1)),
    "KL 0.005": (0.005, range(1)),
    "KL 0.02": (0.02, SEEDS),
}

long_run = LongRun("algorithms_cure", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
held_out = held_out_triples()
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}


def tried(run: str, cure: str, seed: int) -> dict:
    model = policy(load_model(), RANK, seed)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0
    )
    state = long_run.state_of(run)
    transcript = Transcript(state / "transcript.jsonl")
    records = train(
        model, tokenizer, lambda step: prompts[step * PROMPTS : (step + 1) * PROMPTS],
        three_words().score, grpo("dr_grpo", kl_in_reward=CURES[cure][0]), optimizer,
        STEPS, ANSWERS, MAX_NEW_TOKENS,
        state=state, seed=seed, description=run, each=transcript,
    )  # fmt: skip
    found = measured(model, tokenizer, long_run.few(held_out), answers=2)
    if cure == "KL 0.02" and seed == 0:
        model.peft_config["default"].base_model_name_or_path = "smollm2-135m"
        model.half().save_pretrained(long_run.folder / "adapter")
        (long_run.folder / "adapter/README.md").unlink(missing_ok=True)
    return {
        "losses": [record["reward"] for record in records],
        "curve": records,
        "transcript": transcript.steps,
        **found,
    }


for cure, (_, seeds) in CURES.items():
    for seed in seeds:
        run = f"{cure}, seed {seed}"
        long_run.measure(
            run, lambda run=run, cure=cure, seed=seed: tried(run, cure, seed)
        )
long_run.finish(seeds=list(SEEDS), steps=STEPS)
