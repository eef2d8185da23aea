import torch


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    count = rewards.shape[1]
    others = (rewards.sum(1, keepdim=True) - rewards) / (count - 1)
    return rewards - others  # count / (count - 1) times the reward less the mean of all
