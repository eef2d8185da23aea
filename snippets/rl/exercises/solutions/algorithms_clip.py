import torch


def clipped_share(
    ratio: torch.Tensor, advantage: torch.Tensor, epsilon: float = 0.2
) -> float:  # (tokens,), (tokens,)
    silent = torch.where(advantage > 0, ratio > 1 + epsilon, ratio < 1 - epsilon)
    return silent[advantage != 0].float().mean().item()
