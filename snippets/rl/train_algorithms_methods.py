"""The relatives of GRPO at the same task, as many samples: one seed, one setting."""

from pathlib import Path

import torch

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.rl.methods import ppo, reinforce
from llm_tutorial.rl.ppo import Critic
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

STEPS, PROMPTS, ANSWERS, RANK, RATE = 12, 8, 8, 8, 1e-3
METHODS = {
    "REINFORCE": lambda width: reinforce(),
    "PPO": lambda width: ppo(Critic(width)),
}

long_run = LongRun("algorithms_methods", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer()
prompts = [prompt_of(triple) for triple in triples(STEPS * PROMPTS)]
held_out = held_out_triples()
long_run.data = {"train": data_digest(prompts), "held_out": data_digest(held_out)}


def run_method(run: str) -> dict:
    model = policy(load_model(), RANK, seed=0)
    method = METHODS[run](model.config.hidden_size)
    groups = [{"params": [p for p in model.parameters() if p.requires_grad]}]
    if method.critic:
        groups.append({"params": list(method.critic.parameters()), "lr": 1e-2})
    optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.0)
    state = long_run.state_of(run)
    transcript = Transcript(state / "transcript.jsonl")
    records = train(
        model, tokenizer, lambda step: prompts[step * PROMPTS : (step + 1) * PROMPTS],
        three_words().score, method, optimizer, STEPS, ANSWERS, MAX_NEW_TOKENS,
        state=state, description=run, each=transcript,
    )  # fmt: skip
    return {
        "losses": [record["reward"] for record in records],
        "curve": records,
        "transcript": transcript.steps,
        **measured(model, tokenizer, long_run.few(held_out), answers=2),
    }


for run in METHODS:
    long_run.measure(run, lambda run=run: run_method(run))
long_run.finish(seeds=[0], steps=STEPS)
