import torch


def shaped(
    rewards: torch.Tensor, confirmed: torch.Tensor, bonus: float = 3.0
) -> torch.Tensor:
    after = torch.cat([confirmed[1:], torch.zeros(1)])  # nothing is owed at the end
    return rewards + bonus * (after - confirmed)
