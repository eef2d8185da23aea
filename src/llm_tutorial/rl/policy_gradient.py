"""REINFORCE for answers: the log-probability of the whole answer times how much better it was than expected."""

from collections.abc import Sequence

from torch import Tensor

from llm_tutorial.rl.advantages import check_rewards


def policy_gradient_loss(log_probs: Tensor, advantages: Tensor, answers: int | None = None) -> Tensor:
    """Minus the mean over answers of advantage times log-probability (Williams, 1992).

    Args:
        log_probs: (answers, tokens), 0 where there is no token.
        advantages: Of each answer, (answers,).
        answers: Of the whole batch, where this is a part of it.

    Example:
        >>> import torch
        >>> policy_gradient_loss(torch.tensor([[-1.0, -2.0], [-1.0, 0.0]]), torch.tensor([1.0, -1.0]))
        tensor(1.)
    """
    return -(advantages * log_probs.sum(-1)).sum() / (answers or len(log_probs))


def running_baseline_advantages(rewards: Tensor, earlier: Sequence[float], decay: float = 0.8) -> Tensor:
    """Rewards minus a running mean of the earlier steps' mean rewards; the first step has only its own mean.

    Args:
        rewards: Any shape.
        earlier: Mean reward of each earlier step.
        decay: How much of the running mean a step keeps.

    Raises:
        ValueError: A reward is no finite number.

    Example:
        >>> import torch
        >>> running_baseline_advantages(torch.tensor([0.0, 1.0]), [0.25])
        tensor([-0.2500,  0.7500])
    """
    check_rewards(rewards)
    if not earlier:
        return rewards - rewards.mean()
    baseline = earlier[0]
    for mean in earlier[1:]:
        baseline = decay * baseline + (1 - decay) * mean
    return rewards - baseline
