"""REINFORCE without a baseline on CartPole-v1: the best of four rates by the mean of
the learning curve of a seed that is not used again, then five seeds. And the highest
of these rates for the two other methods. Eleven trainings of some six seconds.
"""

from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.rl.actor_critic import actor_critic
from llm_tutorial.rl.cartpole import train
from llm_tutorial.rl.reinforce import reinforce
from llm_tutorial.runs import LongRun, data_digest

BUDGET, COPIES, SEEDS = 150_000, 8, range(5)
RATES = (1e-3, 3e-3, 1e-2, 3e-2)

torch.set_num_threads(1)
long_run = LongRun("no_baseline", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
rate = tune(
    long_run, "no baseline", RATES,
    lambda run, rate: train(
        reinforce, rate, 100, BUDGET, COPIES, baseline=False
    ),
    by="area",
)  # fmt: skip
with_seeds(
    long_run, ["no baseline"], SEEDS,
    lambda run, name, seed: train(
        reinforce, rate, seed, BUDGET, COPIES, baseline=False
    ),
)  # fmt: skip
long_run.measure(
    "REINFORCE, rate 0.03",
    lambda: train(reinforce, 3e-2, 100, BUDGET, COPIES),
)
long_run.measure(
    "actor-critic, rate 0.03",
    lambda: train(actor_critic, 3e-2, 100, BUDGET, 16),
)
long_run.finish(
    seeds=list(SEEDS), steps=BUDGET, rates=list(RATES), rate=rate, tolerance=0.3
)
