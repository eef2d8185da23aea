"""REINFORCE (Williams, 1992): whole trajectories, each action credited with the return that followed it."""

from collections.abc import Iterator

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.rollout import Agent, Rollout, whole_episodes


def reinforce_loss(agent: Agent, rollout: Rollout, discount: float = 0.99, baseline: bool = True) -> Tensor:
    """A loss whose gradient is minus the policy gradient.

    As nearly everybody's, it leaves out the factor ``discount ** t`` of each step.

    Args:
        agent: Its policy; there is no critic.
        rollout: Whole trajectories.
        discount: Gamma.
        baseline: Whether the mean of all returns of the rollout is subtracted.

    Example:
        >>> import gymnasium
        >>> agent = Agent(4, 2)
        >>> rollout = whole_episodes(gymnasium.make_vec("CartPole-v1", num_envs=3), agent, seed=0)
        >>> reinforce_loss(agent, rollout).shape
        torch.Size([])
    """
    returns = returns_to_go(rollout.rewards, rollout.ended, discount)[rollout.valid]
    advantages = returns - returns.mean() if baseline else returns
    log_probs = agent.policy(rollout.observations[rollout.valid]).log_prob(rollout.actions[rollout.valid])
    return -(advantages * log_probs).sum() / rollout.rewards.shape[1]


def reinforce(
    agent: Agent,
    envs: VectorEnv,
    rate: float,
    budget: int,
    seed: int = 0,
    discount: float = 0.99,
    baseline: bool = True,
) -> Iterator[tuple[int, float]]:
    """Trains; after each update, the steps of the environment so far, and the loss.

    Args:
        agent: Its policy is trained, in place.
        envs: A vector environment; an update takes one trajectory of each copy.
        rate: Learning rate of Adam, falling linearly to 0 over the budget.
        budget: Steps of the environment; the last update may go beyond.
        seed: Seed of the first states.
        discount: Gamma.
        baseline: Whether the mean of all returns of an update is subtracted.

    Example:
        >>> import gymnasium
        >>> envs = gymnasium.make_vec("CartPole-v1", num_envs=4)
        >>> steps = [steps for steps, loss in reinforce(Agent(4, 2), envs, rate=1e-2, budget=200)]
        >>> steps[-1] >= 200
        True
    """
    optimizer = torch.optim.Adam(agent.actor.parameters(), lr=rate)
    steps = 0
    while steps < budget:
        rollout = whole_episodes(envs, agent, seed if steps == 0 else None)
        steps += int(rollout.valid.sum())
        loss = reinforce_loss(agent, rollout, discount, baseline)
        descend(optimizer, loss, rate * max(1 - steps / budget, 0))
        yield steps, loss.item()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, max_norm: float = 0.5) -> None:
    """One step down a loss, the gradient of policy and value network clipped each on its own.

    Args:
        optimizer: Holds the parameters.
        loss: A number.
        rate: Learning rate of this step.
        max_norm: Norm to which the gradient is clipped.
    """
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm)
    optimizer.step()
