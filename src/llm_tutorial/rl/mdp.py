"""A Markov decision process small enough to be solved exactly, so that every estimate can be held against the truth."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trajectories:
    """Many trajectories side by side; every field is (steps, trajectories), and counts where ``valid``."""

    states: Tensor
    actions: Tensor
    rewards: Tensor
    next_states: Tensor
    valid: Tensor
    ended: Tensor


@dataclass(frozen=True)
class MDP:
    """States, actions, and what follows; a policy is a table (states, actions) of probabilities.

    Attributes:
        transitions: Probability of each next state, (states, actions, states).
        rewards: What arriving in a state pays, (states,).
        start: Probability of each first state, (states,).
        terminal: States in which everything is over, (states,).
        discount: Gamma.
    """

    transitions: Tensor
    rewards: Tensor
    start: Tensor
    terminal: Tensor
    discount: float

    def action_values(self, policy: Tensor, values: Tensor | None = None) -> Tensor:
        """Q: the expected return of each action in each state, (states, actions).

        Args:
            policy: Followed after the action.
            values: Values of states to use instead of the policy's own.
        """
        values = self.values(policy) if values is None else values
        after = self.rewards + self.discount * values * ~self.terminal  # of arriving in a state
        return (self.transitions @ after) * ~self.terminal[:, None]

    def values(self, policy: Tensor) -> Tensor:
        """V: the expected return of each state, (states,), from Bellman's linear equations.

        Args:
            policy: Probabilities of the actions.
        """
        going_on = ~self.terminal
        moves = torch.einsum("sa,sat->st", policy, self.transitions) * going_on[:, None]
        matrix = torch.eye(len(self.rewards), dtype=policy.dtype) - self.discount * moves * going_on
        return torch.linalg.solve(matrix, moves @ self.rewards)

    def occupancy(self, policy: Tensor) -> Tensor:
        """How often each state is met in a trajectory, a visit at step t counting ``discount ** t``: (states,).

        Args:
            policy: Probabilities of the actions.
        """
        going_on = ~self.terminal
        moves = torch.einsum("sa,sat->st", policy, self.transitions) * going_on[:, None] * going_on
        return torch.linalg.solve(
            torch.eye(len(self.rewards), dtype=policy.dtype) - self.discount * moves.T, self.start
        )

    def objective(self, policy: Tensor) -> Tensor:
        """J: the expected return of a trajectory; its gradient is exact.

        Args:
            policy: Probabilities of the actions.

        Example:
            >>> walk = corridor()
            >>> uniform = torch.full((7, 2), 0.5, dtype=torch.float64)
            >>> f"{walk.objective(uniform):.3f}"
            '0.290'
        """
        return self.start @ self.values(policy)

    def sample(self, policy: Tensor, count: int, generator: torch.Generator | None = None) -> Trajectories:
        """Draws whole trajectories.

        Args:
            policy: Probabilities of the actions.
            count: How many.
            generator: Source of randomness.

        Example:
            >>> walk = corridor()
            >>> drawn = walk.sample(torch.full((7, 2), 0.5, dtype=torch.float64), 5)
            >>> bool(walk.terminal[drawn.next_states[drawn.ended]].all())
            True
        """
        state = self.start.expand(count, -1).multinomial(1, generator=generator)[:, 0]
        running, steps = ~self.terminal[state], []
        while running.any():
            action = policy[state].multinomial(1, generator=generator)[:, 0]
            after = self.transitions[state, action].multinomial(1, generator=generator)[:, 0]
            ended = running & self.terminal[after]
            steps.append((state, action, self.rewards[after] * running, after, running, ended))
            state, running = after, running & ~ended
        return Trajectories(*map(torch.stack, zip(*steps, strict=True)))


def corridor(length: int = 5, slip: float = 0.2, discount: float = 0.9) -> MDP:
    """A corridor: start in the middle, step left or right, and sometimes slip the other way.

    The left end pays 1, the right end 2, every other step costs 0.1.

    Args:
        length: Cells between the ends; cell 0 and the last are the ends.
        slip: Probability of going the other way.
        discount: Gamma.

    Example:
        >>> corridor().transitions[3, 1].tolist()  # right, from the middle
        [0.0, 0.0, 0.2, 0.0, 0.8, 0.0, 0.0]
    """
    states = length + 2
    transitions = torch.zeros(states, 2, states, dtype=torch.float64)
    for state in range(states):
        inside = 0 < state < states - 1
        for action, move in enumerate((-1, 1)):
            transitions[state, action, state + move * inside] += 1 - slip
            transitions[state, action, state - move * inside] += slip
    rewards = torch.full((states,), -0.1, dtype=torch.float64)
    rewards[0], rewards[-1] = 1, 2
    start, terminal = torch.zeros(states, dtype=torch.float64), torch.zeros(states, dtype=torch.bool)
    start[states // 2], terminal[0], terminal[-1] = 1, True, True
    return MDP(transitions, rewards, start, terminal, discount)
