"""The policy written by hand, and how every policy is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from llm_tutorial.rl.dialogue.domain import SLOTS
from llm_tutorial.rl.dialogue.simulator import (
    BOOK,
    CONFIRM,
    FEATURES,
    HANG_UP,
    OPEN,
    REQUEST,
    SUMMARY,
    Dialogues,
    Reward,
    Users,
)
from llm_tutorial.rl.rollout import Agent

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class HandWritten:
    """Ask openly; ask for what is unknown; confirm what is doubtful; book.

    Args:
        confirm: A slot with a belief below this is confirmed.
        ask: A slot with a belief below this is asked for again; one that was never heard is in any case.
        summary: Two or more doubtful slots are confirmed in one question.

    Example:
        >>> start = Dialogues(1, seed=0).observation()
        >>> HandWritten()(start).tolist() == [OPEN]
        True
    """

    confirm: float = 0.9
    ask: float = 0.4
    summary: bool = False

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions for observations (dialogues, size)."""
        slots = observations[:, : len(SLOTS) * len(FEATURES)].reshape(-1, len(SLOTS), len(FEATURES))
        belief, turn, runs = slots[..., 0], observations[:, slots[0].size], observations[:, slots[0].size + 2]
        weakest = belief.argmin(1)
        doubtful = belief < self.confirm
        action = np.where(runs > 0.5, BOOK, CONFIRM + weakest)  # no such train: something is wrong
        action = np.where(doubtful.any(1), CONFIRM + weakest, action)
        if self.summary:
            action = np.where(doubtful.sum(1) > 1, SUMMARY, action)
        unknown = (belief < self.ask) | (slots[..., 4] == 0)  # or never heard
        action = np.where(unknown.any(1), REQUEST + unknown.argmax(1), action)
        result: NDArray[np.int64] = np.where(turn == 0, OPEN, action)
        return result


class ByNoise:
    """Another policy for each rate of recognition errors: the one that was tuned for the nearest.

    Args:
        policies: By the rate that each is for.

    Example:
        >>> policy = ByNoise({0.0: HandWritten(), 0.4: HandWritten(confirm=0.7)})
        >>> policy(Dialogues(3, seed=0).observation()).tolist() == [OPEN] * 3
        True
    """

    def __init__(self, policies: Mapping[float, Policy]) -> None:
        self.rates, self.policies = np.array(list(policies)), list(policies.values())

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions for observations (dialogues, size)."""
        noise = observations[:, len(SLOTS) * len(FEATURES) + 1]
        nearest = np.abs(noise[:, None] - self.rates).argmin(1)
        actions = np.stack([policy(observations) for policy in self.policies])
        result: NDArray[np.int64] = actions[nearest, np.arange(len(noise))]
        return result

    act = __call__  # as an agent acts


def candidates() -> dict[str, HandWritten]:
    """The hand-written policies that are tried: thresholds of confirming and of asking, with a summary and without.

    Example:
        >>> len(candidates())
        56
    """
    return {
        f"confirm {confirm:g}, ask {ask:g}, {'summary' if summary else 'one by one'}": HandWritten(
            confirm, ask, summary
        )
        for confirm in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
        for ask in (0.0, 0.2, 0.35, 0.5)
        for summary in (False, True)
    }


def greedy(agent: Agent) -> Policy:
    """The likeliest action of a trained policy.

    Args:
        agent: Its actor is asked.

    Example:
        >>> greedy(Agent(28, 12))(Dialogues(3, seed=0).observation()).shape
        (3,)
    """

    def policy(observations: NDArray[np.float32]) -> NDArray[np.int64]:
        x: Any = observations
        for layer in agent.actor:
            x = (
                x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
                if isinstance(layer, nn.Linear)
                else np.tanh(x)
            )
        actions: NDArray[np.int64] = x.argmax(-1)
        return actions

    return policy


def evaluate(
    policy: Policy,
    noise: float | tuple[float, float] = (0.0, 0.4),
    users: Users | None = None,
    reward: Reward | None = None,
    count: int = 2000,
    seed: int = 0,
    remember: bool = True,
    corrections: bool = True,
    told: float | None = None,
) -> dict[str, float]:
    """Success, turns and reward of a policy: means over one dialogue of each of many users.

    Args:
        policy: Given observations (dialogues, size), actions.
        noise: Rate of recognition errors, or the range to draw it from.
        users: How users behave.
        reward: What is paid.
        count: How many users.
        seed: Of the users; for a test, one that nothing was trained or tuned on.
        remember: As ``Dialogues`` has it.
        corrections: As ``Dialogues`` has it.
        told: As ``Dialogues`` has it.

    Returns:
        ``success``, ``turns``, ``reward``; and how dialogues without success ended: ``wrong`` (a booking),
        ``lost`` (the user hung up), ``gave_up`` (the system did), ``cut`` (after 20 turns).

    Example:
        >>> found = evaluate(HandWritten(), noise=0.0, count=100)
        >>> found["success"] > 0.9
        True
    """
    dialogues = Dialogues(count, noise, users, reward, seed, remember, corrections, told)
    total = np.zeros(count)
    sums = dict.fromkeys(("reward", "turns", "success", "lost", "wrong", "gave_up", "cut"), 0.0)
    while dialogues.count:
        actions = policy(dialogues.observation())
        rewards, terminated, truncated = dialogues.step(actions)
        total, over = total + rewards, terminated | truncated
        ended = {
            "success": dialogues.success,
            "lost": dialogues.hung_up,
            "wrong": terminated & (actions == BOOK) & ~dialogues.success & ~dialogues.hung_up,
            "gave_up": terminated & (actions == HANG_UP),
            "cut": truncated,
            "turns": dialogues.turn,
            "reward": total,
        }
        for name, values in ended.items():
            sums[name] += float(values[over].sum())
        dialogues.keep(~over)
        total = total[~over]
    return {name: value / count for name, value in sums.items()}
