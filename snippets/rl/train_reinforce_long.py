"""REINFORCE on CartPole-v1 with more steps: the better of two rates by the mean of the
learning curve of a seed that is not used again, then five seeds.
Seven trainings of some fifteen seconds.
"""

from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.rl.cartpole import train
from llm_tutorial.rl.reinforce import reinforce
from llm_tutorial.runs import LongRun, data_digest

BUDGET, COPIES, RATES, SEEDS = 400_000, 8, (3e-3, 1e-2), range(5)

torch.set_num_threads(1)
long_run = LongRun("reinforce_long", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
rate = tune(
    long_run, "longer", RATES,
    lambda run, rate: train(reinforce, rate, 100, BUDGET, COPIES), by="area",
)  # fmt: skip
with_seeds(
    long_run, ["longer"], SEEDS,
    lambda run, name, seed: train(reinforce, rate, seed, BUDGET, COPIES),
)  # fmt: skip
long_run.finish(
    seeds=list(SEEDS), steps=BUDGET, rates=list(RATES), rate=rate, tolerance=0.3
)
