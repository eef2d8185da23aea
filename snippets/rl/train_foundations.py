"""REINFORCE and actor–critic on CartPole-v1, at equal numbers of steps.

Each variant gets its best rate of three, by the mean of the learning curve of a seed
that is not used again; then five seeds. Plan: 24 trainings of some thirteen seconds.
"""

import os
from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.rl.actor_critic import actor_critic
from llm_tutorial.rl.reinforce import reinforce
from llm_tutorial.rl.rollout import Agent, mean_return
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS

BUDGET, MARKS = 200_000, 5  # steps of the environment; points of a curve
SEEDS = range(5)
RATES = (1e-3, 3e-3, 1e-2)
VARIANTS = {
    "REINFORCE, no baseline": (reinforce, {"baseline": False}),
    "REINFORCE": (reinforce, {}),
    "actor-critic": (actor_critic, {}),
}
COPIES = {reinforce: 8, actor_critic: 16}  # of the environment, side by side

torch.set_num_threads(1)
long_run = LongRun("foundations", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
updates = int(os.environ.get(PROBED_STEPS, 10**9))


def train(variant, rate, seed):
    algorithm, fixed = VARIANTS[variant]
    torch.manual_seed(seed)
    agent = Agent(4, 2, scale=10)
    envs = gymnasium.make_vec("CartPole-v1", num_envs=COPIES[algorithm])
    few = gymnasium.make_vec("CartPole-v1", num_envs=len(long_run.few(range(40))))
    many = gymnasium.make_vec("CartPole-v1", num_envs=len(long_run.few(range(100))))
    losses, curve = [], [mean_return(few, agent, seed=10_000 + seed)]
    for steps, loss in algorithm(agent, envs, rate, BUDGET, seed, **fixed):
        losses.append(loss)
        while steps >= len(curve) * BUDGET / MARKS and len(curve) <= MARKS:
            curve.append(mean_return(few, agent, seed=10_000 + 100 * len(curve) + seed))
        if len(losses) >= updates:
            break
    return {
        "losses": losses,
        "rate": rate,
        "curve": curve,  # before training, and after each fifth of the budget
        "area": sum(curve) / len(curve),
        "test": mean_return(many, agent, seed=20_000 + seed),
        "updates": len(losses),
    }


rates = {
    variant: tune(
        long_run, variant, RATES,
        lambda run, rate, variant=variant: train(variant, rate, 100), by="area",
    )
    for variant in VARIANTS
}  # fmt: skip
with_seeds(
    long_run, list(VARIANTS), SEEDS,
    lambda run, variant, seed: train(variant, rates[variant], seed),
)  # fmt: skip
long_run.finish(
    seeds=list(SEEDS), steps=BUDGET, rates=list(RATES), chosen=rates, tolerance=0.3
)
