"""Actor–critic: pieces of trajectories, each action credited with a generalised advantage estimate.

The synchronous form of A3C (Mnih et al., 2016, arXiv:1602.01783), with GAE for its n-step returns.
"""

from collections.abc import Iterator

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from llm_tutorial.rl.advantages import gae
from llm_tutorial.rl.reinforce import descend
from llm_tutorial.rl.rollout import Agent, Collector, Rollout


def actor_critic_loss(
    agent: Agent, rollout: Rollout, discount: float = 0.99, decay: float = 0.95, limit_ends: bool = False
) -> Tensor:
    """A loss whose gradient is minus the policy gradient by the critic's account, plus the critic's squared error.

    Args:
        agent: Policy and critic.
        rollout: Pieces of trajectories; what follows the last step counts by its value.
        discount: Gamma.
        decay: Lambda of GAE.
        limit_ends: The mistake of taking a time limit for the end of the task; for demonstration.

    Example:
        >>> import gymnasium
        >>> agent = Agent(4, 2)
        >>> rollout = Collector(gymnasium.make_vec("CartPole-v1", num_envs=3), seed=0).steps(agent, 5)
        >>> actor_critic_loss(agent, rollout).shape
        torch.Size([])
    """
    values = agent.value(rollout.observations)
    with torch.no_grad():
        next_values = agent.value(rollout.next_observations)
    terminated = rollout.ended if limit_ends else rollout.terminated
    advantages = gae(rollout.rewards, values.detach(), next_values, terminated, rollout.truncated, discount, decay)
    targets = advantages + values.detach()
    log_probs = agent.policy(rollout.observations).log_prob(rollout.actions)
    actor, critic = -advantages * log_probs, (targets - values).square()
    return (actor + critic)[rollout.valid].mean()


def actor_critic(
    agent: Agent,
    envs: VectorEnv,
    rate: float,
    budget: int,
    seed: int = 0,
    discount: float = 0.99,
    decay: float = 0.95,
    length: int = 8,
    limit_ends: bool = False,
) -> Iterator[tuple[int, float]]:
    """Trains; after each update, the steps of the environment so far, and the loss.

    Args:
        agent: What is trained, in place.
        envs: A vector environment.
        rate: Learning rate of Adam, falling linearly to 0 over the budget.
        budget: Steps of the environment; the last update may go beyond.
        seed: Seed of the first states.
        discount: Gamma.
        decay: Lambda of GAE.
        length: Steps of each copy in an update.
        limit_ends: The mistake of taking a time limit for the end of the task; for demonstration.

    Example:
        >>> import gymnasium
        >>> envs = gymnasium.make_vec("CartPole-v1", num_envs=4)
        >>> steps = [steps for steps, loss in actor_critic(Agent(4, 2), envs, rate=1e-3, budget=200)]
        >>> len(steps) >= 2
        True
    """
    optimizer = agent.optimizer(rate)
    collector, steps = Collector(envs, seed), 0
    while steps < budget:
        rollout = collector.steps(agent, length)
        steps += int(rollout.valid.sum())
        loss = actor_critic_loss(agent, rollout, discount, decay, limit_ends)
        descend(optimizer, loss, rate * max(1 - steps / budget, 0))
        yield steps, loss.item()
