"""The dialogue under other rewards, and with a memory of the last value only: each
after imitation of one hand-written policy, at one learning rate, three seeds.
"""

from pathlib import Path

import torch

from llm_tutorial.experiments import with_seeds
from llm_tutorial.rl.dialogue.domain import confusion, timetable
from llm_tutorial.rl.dialogue.policies import ByNoise, HandWritten, evaluate, greedy
from llm_tutorial.rl.dialogue.simulator import Reward
from llm_tutorial.rl.dialogue.training import NOISES, TEST, train
from llm_tutorial.runs import LongRun, data_digest

BUDGET, RATE, SEEDS, USERS = 150_000, 3e-3, range(3), 1000
TEACHER = ByNoise({0.0: HandWritten(confirm=0.8, ask=0.5, summary=True)})
VARIANTS = {
    "a turn costs 1": {},
    "a turn costs 5": {"reward": Reward(turn=5.0)},
    "turns are free": {"reward": Reward(turn=0.0)},
    "each yes is paid": {"reward": Reward(confirmed=3.0)},
    "remembers the last value": {"remember": False},
}

torch.set_num_threads(1)
long_run = LongRun("dialogue_rewards", Path(__file__))
long_run.data = {"timetable": data_digest([timetable().tolist(), confusion().tolist()])}


def trained(name, seed):
    agent, found = train(RATE, seed, BUDGET, teacher=TEACHER, **VARIANTS[name])
    remember = VARIANTS[name].get("remember", True)
    test = {
        f"{noise:g}": evaluate(
            greedy(agent), noise, count=USERS, seed=TEST, remember=remember
        )
        for noise in NOISES
    }
    return found | {"test": test}


with_seeds(long_run, list(VARIANTS), SEEDS, lambda run, name, seed: trained(name, seed))
long_run.finish(seeds=list(SEEDS), steps=BUDGET, rate=RATE, tolerance=0.3)
