import torch


def returns_to_go(
    rewards: torch.Tensor, ended: torch.Tensor, gamma: float
) -> torch.Tensor:
    returns, later = torch.empty_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        later = rewards[t] + gamma * later * ~ended[t]
        returns[t] = later
    return returns
