"""One training on CartPole-v1 with its learning curve and its test, the same for every method."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import torch

from llm_tutorial.rl.rollout import Agent, mean_return
from llm_tutorial.training import PROBED_STEPS

MARKS = 5


def train(
    algorithm: Callable[..., Iterator[tuple[int, float]]],
    rate: float,
    seed: int,
    budget: int,
    copies: int,
    limit: int = 500,
    **options: Any,
) -> dict[str, Any]:
    """Trains an agent and tries it on trials of 500 steps that it has not seen.

    The curve has the mean return of 40 trials before training and after each fifth of the budget, the test that of 100
    others at the end.

    Args:
        algorithm: ``reinforce`` or ``actor_critic``.
        rate: Learning rate.
        seed: Seed of the networks, of the actions, and of the first states.
        budget: Steps of the environment.
        copies: Copies of the environment side by side.
        limit: Steps after which a trial of the training is cut off.
        options: Passed on to the algorithm.

    Returns:
        Losses, curve and its mean (``area``), test, updates, and the critic's value of the pole upright.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    agent = Agent(4, 2, scale=10)
    envs = gymnasium.make_vec("CartPole-v1", num_envs=copies, max_episode_steps=limit)
    few, many = (gymnasium.make_vec("CartPole-v1", num_envs=count) for count in (40, 100))
    # all of them in a probe as well: they draw from the same random numbers as the training
    updates = int(os.environ.get(PROBED_STEPS, 10**9))
    losses, curve = [], [mean_return(few, agent, seed=10_000 + seed)]
    for steps, loss in algorithm(agent, envs, rate, budget, seed, **options):
        losses.append(loss)
        while steps >= len(curve) * budget / MARKS and len(curve) <= MARKS:
            curve.append(mean_return(few, agent, seed=10_000 + 1000 * len(curve) + seed))
        if len(losses) >= updates:
            break
    return {
        "losses": losses,
        "curve": curve,
        "area": sum(curve) / len(curve),
        "test": mean_return(many, agent, seed=20_000 + seed),
        "value": agent.value(torch.zeros(4)).item(),
        "updates": len(losses),
    }
