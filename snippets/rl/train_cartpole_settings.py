"""Actor–critic on CartPole-v1 with other lambdas, and under a time limit of 50 steps.

At one rate, three seeds each. Fifteen trainings of some six seconds.
"""

from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import with_seeds
from llm_tutorial.rl.actor_critic import actor_critic
from llm_tutorial.rl.cartpole import train
from llm_tutorial.runs import LongRun, data_digest

BUDGET, COPIES, RATE, SEEDS = 150_000, 16, 3e-3, range(3)
VARIANTS = {
    "limit": {"limit": 50},
    "limit taken for the end": {"limit": 50, "limit_ends": True},
    "lambda 0": {"decay": 0.0},
    "lambda 0.8": {"decay": 0.8},
    "lambda 1": {"decay": 1.0},
}

torch.set_num_threads(1)
long_run = LongRun("cartpole_settings", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
with_seeds(
    long_run, list(VARIANTS), SEEDS,
    lambda run, name, seed: train(
        actor_critic, RATE, seed, BUDGET, COPIES, **VARIANTS[name]
    ),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=BUDGET, rate=RATE, tolerance=0.3)
