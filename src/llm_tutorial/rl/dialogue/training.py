"""A small network as the policy: it imitates another policy, then learns from the reward."""

import os
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from llm_tutorial.rl.actor_critic import actor_critic
from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.dialogue.environment import DialogueVectorEnv
from llm_tutorial.rl.dialogue.policies import ByNoise, Policy, evaluate, greedy
from llm_tutorial.rl.dialogue.simulator import ACTIONS, OBSERVATION, Reward, Users
from llm_tutorial.rl.rollout import Agent, whole_episodes
from llm_tutorial.training import PROBED_STEPS

NOISES = (0.0, 0.1, 0.2, 0.3, 0.4)
VALIDATION, TEST = 1_000_000, 2_000_000  # seeds of users that nobody is trained on
MARKS = 5
IMPATIENT, TERSE, CHANGING = Users(patience=(4, 8)), Users(talk=0.0, correct=0.2), Users(change=0.15)
UNMET = {"impatient": IMPATIENT, "terse": TERSE, "change their goal": CHANGING}


def new_agent(width: int = 32) -> Agent:
    """An untrained policy for dialogues, with its critic.

    Args:
        width: Of the hidden layers.

    Example:
        >>> sum(p.numel() for p in new_agent().actor.parameters())
        2380
    """
    return Agent(OBSERVATION, ACTIONS, width, scale=10)


def imitate(
    agent: Agent,
    teacher: ByNoise,
    dialogues: int = 4096,
    steps: int = 400,
    rate: float = 3e-3,
    seed: int = 0,
    remember: bool = True,
    smoothing: float = 0.0,
    reward: Reward | None = None,
) -> list[float]:
    """Teaches an agent to act as another policy does, and its critic what that policy earns.

    Args:
        agent: Trained in place.
        teacher: What is imitated.
        dialogues: How many of its dialogues are shown.
        steps: Updates, each on 1024 turns.
        rate: Learning rate of Adam, falling linearly to 0.
        seed: Of the users, and of the order.
        remember: As ``Dialogues`` has it.
        smoothing: Probability that is spread over all actions, so that a policy that goes on learning still tries them.
        reward: What is paid; the critic learns it.

    Returns:
        The cross-entropy of each step.

    Example:
        >>> from llm_tutorial.rl.dialogue.policies import HandWritten
        >>> losses = imitate(new_agent(), ByNoise({0.0: HandWritten()}), dialogues=64, steps=20)
        >>> losses[-1] < losses[0]
        True
    """
    shown = whole_episodes(DialogueVectorEnv(dialogues, reward=reward, remember=remember), teacher, seed=seed)  # type: ignore[arg-type]
    returns = returns_to_go(shown.rewards, shown.ended)[shown.valid]
    observations, actions = shown.observations[shown.valid], shown.actions[shown.valid]
    generator, optimizer, losses = torch.Generator().manual_seed(seed), agent.optimizer(rate), []
    for step in range(steps):
        some = torch.randint(len(actions), (1024,), generator=generator)
        loss = F.cross_entropy(agent.actor(observations[some]), actions[some], label_smoothing=smoothing)
        error = (agent.value(observations[some]) - returns[some]).square().mean() / agent.scale**2
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        (loss + error).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(
    rate: float,
    seed: int,
    budget: int,
    teacher: ByNoise | None = None,
    reward: Reward | None = None,
    copies: int = 256,
    length: int = 8,
    decay: float = 0.95,
    remember: bool = True,
) -> tuple[Agent, dict[str, Any]]:
    """Actor–critic on simulated users, after imitation if there is a teacher.

    Args:
        rate: Learning rate.
        seed: Of the networks, the actions and the users.
        budget: Turns of all dialogues together.
        teacher: Imitated first.
        reward: What is paid.
        copies: Dialogues side by side.
        length: Turns of each in an update.
        decay: Lambda of generalised advantage estimation.
        remember: As ``Dialogues`` has it.

    Returns:
        The agent, and losses and the learning curve: the mean reward on users of the validation.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    agent = new_agent()
    if teacher:
        imitate(agent, teacher, seed=seed, remember=remember, smoothing=0.1, reward=reward)
    losses: list[float] = []
    curve = [measured(agent, reward, remember)]
    updates = int(os.environ.get(PROBED_STEPS, 10**9))
    envs = DialogueVectorEnv(copies, reward=reward, remember=remember)
    for steps, loss in actor_critic(agent, envs, rate, budget, seed, discount=1.0, decay=decay, length=length):
        losses.append(loss)
        while steps >= len(curve) * budget / MARKS and len(curve) <= MARKS:
            curve.append(measured(agent, reward, remember))
        if len(losses) >= updates:
            break
    return agent, {"losses": losses, "curve": curve}


def agreement(policy: Policy, teacher: ByNoise, dialogues: int = 1000) -> float:
    """In how many turns of a teacher a policy does the same.

    Args:
        policy: Given observations, actions.
        teacher: Whose turns they are.
        dialogues: How many of its dialogues, on users of the test.

    Example:
        >>> from llm_tutorial.rl.dialogue.policies import HandWritten
        >>> agreement(HandWritten(), ByNoise({0.0: HandWritten()}), dialogues=10)
        1.0
    """
    shown = whole_episodes(DialogueVectorEnv(dialogues), teacher, seed=TEST)  # type: ignore[arg-type]
    observations = shown.observations[shown.valid].numpy()
    return float((policy(observations) == shown.actions[shown.valid].numpy()).mean())


def measured(agent: Agent, reward: Reward | None = None, remember: bool = True) -> float:
    """Mean reward of the likeliest actions on 500 users of the validation, at all rates of errors.

    Args:
        agent: What is tried.
        reward: What is paid.
        remember: As ``Dialogues`` has it.
    """
    found = evaluate(greedy(agent), reward=reward, count=500, seed=VALIDATION, remember=remember)
    return found["reward"]


def examine(policy: Policy, count: int = 1000) -> dict[str, dict[str, float]]:
    """A policy on users of the test: for each rate of errors, and for each kind of user it never met.

    Args:
        policy: Given observations, actions.
        count: Users of each kind.

    Returns:
        What ``evaluate`` returns, by the rate of errors, at 20 % by the kind of user, and at 30 % with a belief that is told 10 %.
    """
    found = {f"{noise:g}": evaluate(policy, noise, count=count, seed=TEST) for noise in NOISES}
    for name, users in UNMET.items():
        found[name] = evaluate(policy, 0.2, users, count=count, seed=TEST)
    found["0.3 told as 0.1"] = evaluate(policy, 0.3, count=count, seed=TEST, told=0.1)
    return found
