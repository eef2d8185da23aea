"""Policies for the dialogue. The one written by hand is tuned on users of the
validation, for each rate of errors by itself (56 variants); a small network imitates
it; actor-critic goes on from there, and from random weights for more steps. Four
learning rates each on a seed of its own, then three seeds.
"""

from pathlib import Path

import numpy as np
import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.rl.dialogue.domain import confusion, timetable
from llm_tutorial.rl.dialogue.policies import (
    ByNoise,
    HandWritten,
    candidates,
    evaluate,
    greedy,
)
from llm_tutorial.rl.dialogue.training import (
    NOISES,
    VALIDATION,
    agreement,
    examine,
    imitate,
    new_agent,
    train,
)
from llm_tutorial.runs import LongRun, data_digest

BUDGET, LONGER = 300_000, 400_000
USERS, TESTED = 1000, 3000
RATES, SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), range(3)

torch.set_num_threads(1)
long_run = LongRun("dialogue", Path(__file__))
long_run.data = {"timetable": data_digest([timetable().tolist(), confusion().tolist()])}


def sweep(noise):
    tried = candidates()
    found = {
        name: evaluate(tried[name], noise, count=USERS, seed=VALIDATION)
        for name in long_run.few(list(tried))
    }
    return {"tried": found, "best": max(found, key=lambda name: found[name]["reward"])}


best = {
    noise: long_run.measure(f"by hand, noise {noise:g}", lambda n=noise: sweep(n))
    for noise in NOISES
}
teacher = ByNoise({noise: candidates()[found["best"]] for noise, found in best.items()})
long_run.measure("by hand, tuned", lambda: {"test": examine(teacher, TESTED)})
long_run.measure(
    "by hand, as first written",
    lambda: {"test": examine(HandWritten(), TESTED)},
)


def imitation(seed, **options):
    torch.manual_seed(seed)
    np.random.seed(seed)
    agent = new_agent()
    losses = imitate(agent, teacher, seed=seed, **options)
    return {
        "losses": losses,
        "test": examine(greedy(agent), TESTED),
        "agrees": agreement(greedy(agent), teacher),
    }


def trained(rate, seed, budget=BUDGET, **options):
    agent, found = train(rate, seed, budget, **options)
    return found | {"test": examine(greedy(agent), TESTED), "end": found["curve"][-1]}


rate = tune(
    long_run, "RL", RATES,
    lambda run, rate: trained(rate, 100, teacher=teacher), by="end",
)  # fmt: skip
scratch = tune(
    long_run, "from scratch", RATES[1:],
    lambda run, rate: trained(rate, 100, LONGER), by="end",
)  # fmt: skip
VARIANTS = {
    "RL": lambda seed: trained(rate, seed, teacher=teacher),
    "from scratch": lambda seed: trained(scratch, seed, LONGER),
    "imitation": lambda seed: imitation(seed, steps=1600),
    "start of RL": lambda seed: imitation(seed, smoothing=0.1),
}
with_seeds(
    long_run, list(VARIANTS), SEEDS, lambda run, name, seed: VARIANTS[name](seed)
)
long_run.finish(
    seeds=list(SEEDS), steps=BUDGET, rates=list(RATES), rate=rate, scratch=scratch,
    longer=LONGER, tolerance=0.3,
)  # fmt: skip
