"""What an action is credited with: returns, generalised advantage estimates, normalised advantages.

All arrays are time first: (steps,) for one trajectory, (steps, copies) for several side by side. Two flags say that
a trajectory ended with a step. ``terminated``: the task is over, nothing follows, so the value of what follows is 0.
``truncated``: a limit cut it off, the task would have gone on, so the value of what follows counts.
"""

import torch
from torch import Tensor


def returns_to_go(rewards: Tensor, ended: Tensor, discount: float = 1.0) -> Tensor:
    """The discounted sum of the rewards from each step to the end of its trajectory.

    Args:
        rewards: Rewards, (steps, …).
        ended: True where a trajectory ended with the step, for either reason.
        discount: Gamma, from 0 to 1.

    Raises:
        ValueError: A reward is no finite number, or the shapes differ.

    Example:
        >>> returns_to_go(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([False, True, True]), discount=0.5)
        tensor([2., 2., 4.])
    """
    check_rewards(rewards)
    _same_shapes(rewards=rewards, ended=ended)
    returns, later = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        later = rewards[t] + discount * later * ~ended[t]
        returns[t] = later
    return returns


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float = 0.99,
    decay: float = 0.95,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al., 2015, arXiv:1506.02438).

    Args:
        rewards: Rewards, (steps, …).
        values: The critic's value of the state before each step.
        next_values: Its value of the state that the step led to, the last one of a trajectory included.
        terminated: The task was over with the step: what follows is worth 0.
        truncated: A limit cut the trajectory off: what would have followed is worth ``next_values``.
        discount: Gamma, from 0 to 1.
        decay: Lambda: 0 trusts the critic after one step, 1 sums all rewards.

    Raises:
        ValueError: A reward is no finite number, or the shapes differ.

    Example:
        >>> no = torch.tensor([False, False])
        >>> end = torch.tensor([False, True])
        >>> rewards, values, after = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])
        >>> gae(rewards, values, after, end, no, discount=1.0, decay=1.0)  # the return, 1, less the value
        tensor([0.5000, 0.5000])
        >>> gae(rewards, values, after, no, end, discount=1.0, decay=1.0)  # cut off: 0.5 more would have come
        tensor([1., 1.])
    """
    check_rewards(rewards)
    _same_shapes(rewards=rewards, values=values, next_values=next_values, terminated=terminated, truncated=truncated)
    surprise = rewards + discount * next_values * ~terminated - values  # delta
    advantages, later = torch.empty_like(surprise), torch.zeros_like(surprise[0])
    for t in reversed(range(len(rewards))):
        later = surprise[t] + discount * decay * later * ~(terminated[t] | truncated[t])
        advantages[t] = later
    return advantages


def normalised(advantages: Tensor, epsilon: float = 1e-4) -> Tensor:
    """Advantages with mean 0 and standard deviation 1; zero for a single one, next to zero where all are alike.

    ``(a - a.mean()) / a.std()`` is NaN for a batch of one, and from there every weight of a model.

    Args:
        advantages: Any shape.
        epsilon: Added to the standard deviation; well above the rounding of equal advantages.

    Example:
        >>> normalised(torch.tensor([1.0, 3.0]))
        tensor([-0.9999,  0.9999])
        >>> normalised(torch.tensor([5.0]))
        tensor([0.])
    """
    centred = advantages.float() - advantages.float().mean()  # in 16 bits epsilon would be 0
    return (centred / (centred.square().mean().sqrt() + epsilon)).to(advantages.dtype)


def check_rewards(rewards: Tensor) -> None:
    """Refuses rewards that are no finite numbers, before they reach a gradient.

    Args:
        rewards: Any shape.

    Raises:
        ValueError: The message says which, in English and in Chinese.

    Example:
        >>> check_rewards(torch.tensor([1.0, float("nan")]))
        Traceback (most recent call last):
        ...
        ValueError: the reward at [1] is nan: a reward must be a finite number
        [1] 处的奖励是 nan：奖励必须是有限的数
    """
    wrong = (~torch.isfinite(rewards)).nonzero()
    if len(wrong):
        place, value = wrong[0].tolist(), rewards[tuple(wrong[0])].item()
        raise ValueError(
            f"the reward at {place} is {value}: a reward must be a finite number\n"
            f"{place} 处的奖励是 {value}：奖励必须是有限的数"
        )


def _same_shapes(**tensors: Tensor) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"the shapes differ: {shapes}\n形状不一致：{shapes}")
