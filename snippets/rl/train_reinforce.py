"""REINFORCE on CartPole-v1: the best of three rates by the mean of the learning curve
of a seed that is not used again, then five seeds. Eight trainings of some six seconds.
"""

from pathlib import Path

import gymnasium
import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.rl.cartpole import train
from llm_tutorial.rl.reinforce import reinforce
from llm_tutorial.runs import LongRun, data_digest

BUDGET, COPIES, RATES, SEEDS = 150_000, 8, (1e-3, 3e-3, 1e-2), range(5)

torch.set_num_threads(1)
long_run = LongRun("reinforce", Path(__file__))
long_run.data = {"environment": data_digest(["CartPole-v1", gymnasium.__version__])}
rate = tune(
    long_run, "REINFORCE", RATES,
    lambda run, rate: train(reinforce, rate, 100, BUDGET, COPIES), by="area",
)  # fmt: skip
with_seeds(
    long_run, ["REINFORCE"], SEEDS,
    lambda run, name, seed: train(reinforce, rate, seed, BUDGET, COPIES),
)  # fmt: skip
long_run.finish(
    seeds=list(SEEDS), steps=BUDGET, rates=list(RATES), rate=rate, tolerance=0.3
)
