"""Trajectories from several copies of a Gymnasium environment side by side, and a small policy to draw them with.

A vector environment of Gymnasium resets a copy that has ended in the step *after* its end
(``AutoresetMode.NEXT_STEP``, its default): the action of that step goes nowhere, and the step must not be learned from.
``Rollout.valid`` says which steps are real.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical


@dataclass
class Rollout:
    """Steps of several copies of an environment; every field is (steps, copies, …)."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor

    @property
    def ended(self) -> Tensor:
        """Where a trajectory ended with the step, for either reason."""
        return self.terminated | self.truncated


class Agent(nn.Module):
    """A policy over discrete actions and a value, two networks of two hidden layers that share nothing.

    Args:
        observation_size: Numbers in an observation.
        actions: Actions to choose from.
        width: Width of the hidden layers.
        scale: What the value network's output is multiplied by: about how large returns are, so that the network
            starts near the right size.

    Example:
        >>> agent = Agent(4, 2)
        >>> agent.policy(torch.zeros(3, 4)).probs.shape, agent.value(torch.zeros(3, 4)).shape
        (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(self, observation_size: int, actions: int, width: int = 64, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.actor, self.critic = _network(observation_size, actions, width), _network(observation_size, 1, width)

    def policy(self, observations: Tensor) -> Categorical:
        """The distribution over actions for observations (…, size)."""
        return Categorical(logits=self.actor(observations), validate_args=False)

    def act(self, observations: NDArray[Any]) -> NDArray[np.int64]:
        """Actions drawn from the policy for observations (copies, size).

        The same as ``policy(…).sample()`` but in NumPy, which takes a few rows through a small network in a third of
        the time. The random numbers are NumPy's: ``numpy.random.seed`` repeats them.
        """
        x = observations
        for layer in self.actor:
            x = (
                x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
                if isinstance(layer, nn.Linear)
                else np.tanh(x)
            )
        actions: NDArray[np.int64] = (x + np.random.gumbel(size=x.shape)).argmax(-1)
        return actions

    def value(self, observations: Tensor) -> Tensor:
        """The return expected from observations (…, size): (…)."""
        return self.scale * self.critic(observations).squeeze(-1)

    def optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Adam, with a group of parameters for each network."""
        return torch.optim.Adam([{"params": each.parameters()} for each in (self.actor, self.critic)], lr=rate)


class Collector:
    """Goes on with the copies of an environment from call to call, whatever trajectories end on the way.

    Args:
        envs: A vector environment.
        seed: Seed of its first states; without one the environment goes on with its own random numbers.

    Example:
        >>> import gymnasium
        >>> envs = gymnasium.make_vec("CartPole-v1", num_envs=3)
        >>> rollout = Collector(envs, seed=0).steps(Agent(4, 2), 5)
        >>> rollout.observations.shape, rollout.rewards.shape
        (torch.Size([5, 3, 4]), torch.Size([5, 3]))
    """

    def __init__(self, envs: VectorEnv, seed: int | None) -> None:
        self.envs = envs
        self.observation: Any = envs.reset(seed=seed)[0]
        self.ended = np.zeros(envs.num_envs, dtype=bool)

    def steps(self, agent: Agent, count: int) -> Rollout:
        """So many steps of every copy, with actions drawn from the policy."""
        return _rollout([self.step(agent) for _ in range(count)])

    @torch.no_grad()
    def step(self, agent: Agent) -> list[Any]:
        """One step of every copy: the fields of ``Rollout``, each (copies, …), as NumPy arrays."""
        observation, valid = self.observation, ~self.ended
        action = agent.act(observation)
        self.observation, reward, terminated, truncated, _ = self.envs.step(action)
        self.ended = terminated | truncated
        return [observation, action, reward, self.observation, terminated.copy(), truncated.copy(), valid]


def _rollout(steps: list[list[Any]]) -> Rollout:
    fields = [torch.from_numpy(np.stack(field)) for field in zip(*steps, strict=True)]
    fields[2] = fields[2].float()
    return Rollout(*fields)


def whole_episodes(envs: VectorEnv, agent: Agent, seed: int | None = None) -> Rollout:
    """One whole trajectory of every copy; ``valid`` is False after its end.

    Args:
        envs: A vector environment with a limit of steps.
        agent: Draws the actions.
        seed: Seed of the first states; without one the environment goes on with its own random numbers.

    Example:
        >>> import gymnasium
        >>> rollout = whole_episodes(gymnasium.make_vec("CartPole-v1", num_envs=3), Agent(4, 2), seed=0)
        >>> (rollout.valid & rollout.ended).sum(0).tolist()
        [1, 1, 1]
    """
    collector = Collector(envs, seed)
    taken, running = [], np.ones(envs.num_envs, dtype=bool)
    while running.any():
        taken.append([*collector.step(agent)[:-1], running.copy()])
        running &= ~collector.ended
    return _rollout(taken)


@torch.no_grad()
def mean_return(envs: VectorEnv, agent: Agent, seed: int) -> float:
    """Mean undiscounted return over one trajectory of every copy, with actions drawn from the policy.

    Args:
        envs: A vector environment with a limit of steps, one copy for each trajectory.
        agent: Draws the actions.
        seed: Seed of the first states; for an evaluation, one that no training has seen.

    Example:
        >>> import gymnasium
        >>> mean_return(gymnasium.make_vec("CartPole-v1", num_envs=100), Agent(4, 2), seed=1) < 100  # untrained
        True
    """
    observation: Any = envs.reset(seed=seed)[0]
    total, running = 0.0, np.ones(envs.num_envs, dtype=bool)
    while running.any():
        observation, reward, terminated, truncated, _ = envs.step(agent.act(observation))
        total += float(reward[running].sum())
        running &= ~(terminated | truncated)
    return total / envs.num_envs


def _network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    )
