"""RLOO, REINFORCE leave-one-out (Kool et al., 2019; Ahmadian et al., 2024, arXiv:2402.14740)."""

from torch import Tensor

from llm_tutorial.rl.advantages import check_rewards


def rloo_advantages(rewards: Tensor) -> Tensor:
    """Each reward minus the mean of the others of its group, which does not depend on the answer: no bias.

    Args:
        rewards: (prompts, answers), two answers or more.

    Raises:
        ValueError: A reward is no finite number, or a group has one answer only.

    Example:
        >>> import torch
        >>> rloo_advantages(torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]]))
        tensor([[-0.7500,  0.7500,  0.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """
    check_rewards(rewards)
    count = rewards.shape[1]
    if count < 2:
        raise ValueError("a group needs two answers or more\n一组至少要有两个回答")
    return (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)
