"""Actor–critic on CartPole-v1 with other lambdas, and under a time limit of 50 steps.

At one rate, three seeds each. Plan: 15 trainings of some ten seconds.
"""

import os
from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import with_seeds
from llm_tutorial.rl.actor_critic import actor_critic
from llm_tutorial.rl.rollout import Agent, mean_return
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS

BUDGET, MARKS, RATE, SEEDS = 200_000, 5, 3e-3, range(3)
VARIANTS = {
    "lambda 0": {"decay": 0.0},
    "lambda 0.8": {"decay": 0.8},
    "lambda 1": {"decay": 1.0},
    "limit": {},
    "limit taken for the end": {"limit_ends": True},
}

torch.set_num_threads(1)
long_run = LongRun("foundations_settings", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
updates = int(os.environ.get(PROBED_STEPS, 10**9))


def train(run, variant, seed):
    torch.manual_seed(seed)
    agent = Agent(4, 2, scale=10)
    limit = 50 if "limit" in variant else 500
    envs = gymnasium.make_vec("CartPole-v1", num_envs=16, max_episode_steps=limit)
    few = gymnasium.make_vec("CartPole-v1", num_envs=len(long_run.few(range(40))))
    many = gymnasium.make_vec("CartPole-v1", num_envs=len(long_run.few(range(100))))
    losses, curve = [], [mean_return(few, agent, seed=10_000 + seed)]
    for steps, loss in actor_critic(
        agent, envs, RATE, BUDGET, seed, **VARIANTS[variant]
    ):
        losses.append(loss)
        while steps >= len(curve) * BUDGET / MARKS and len(curve) <= MARKS:
            curve.append(mean_return(few, agent, seed=10_000 + 100 * len(curve) + seed))
        if len(losses) >= updates:
            break
    return {
        "losses": losses,
        "curve": curve,  # before training, and after each fifth of the budget
        "area": sum(curve) / len(curve),
        "test": mean_return(many, agent, seed=20_000 + seed),  # in trials of 500 steps
        "value": agent.value(torch.zeros(4)).item(),  # of the pole upright
    }


with_seeds(long_run, list(VARIANTS), SEEDS, train)
long_run.finish(seeds=list(SEEDS), steps=BUDGET, rate=RATE, tolerance=0.3)
