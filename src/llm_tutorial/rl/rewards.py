"""Rewards made of parts: a weighted sum that says what each part gave."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from llm_tutorial.rl.sampling import Completion
from llm_tutorial.rl.text_environment import Reward, checked_reward


class Part(NamedTuple):
    """A part of a reward: its weight, and a function of prompt and answer."""

    weight: float
    reward: Reward


class Rewards(NamedTuple):
    """Of several answers: the rewards, and what each part gave before it was weighted, all (answers,)."""

    total: Tensor
    parts: dict[str, Tensor]


class Rubric:
    """A weighted sum of rewards; called with a prompt and an answer it is a reward itself.

    Args:
        parts: By name.
        low: The sum is clipped below this.
        high: And above this.

    Example:
        >>> rubric = Rubric({
        ...     "short": Part(0.5, lambda prompt, answer: len(answer) < 10),
        ...     "greets": Part(1.0, lambda prompt, answer: "hello" in answer),
        ... })
        >>> rubric("Say hello.", "hello"), rubric.parts_of("Say hello.", "good morning")
        (1.5, {'short': 0.0, 'greets': 0.0})
    """

    def __init__(self, parts: Mapping[str, Part], low: float | None = None, high: float | None = None) -> None:
        self.parts, self.low, self.high = dict(parts), low, high

    def __call__(self, prompt: str, answer: str) -> float:
        """The sum."""
        return self._sum(self.parts_of(prompt, answer))

    def parts_of(self, prompt: str, answer: str) -> dict[str, float]:
        """What each part gives, without its weight.

        Raises:
            RewardError: A part is no finite number, or raised an error; the message names the answer.
        """
        return {name: checked_reward(part.reward, prompt, answer) for name, part in self.parts.items()}

    def score(self, completions: Sequence[Completion]) -> Rewards:
        """Several answers at once."""
        found = [self.parts_of(each.prompt, each.text) for each in completions]
        parts = {name: torch.tensor([each[name] for each in found]) for name in self.parts}
        return Rewards(torch.tensor([self._sum(each) for each in found]), parts)

    def _sum(self, parts: Mapping[str, float]) -> float:
        total = sum(self.parts[name].weight * value for name, value in parts.items())
        total = total if self.low is None else max(total, self.low)
        return total if self.high is None else min(total, self.high)
