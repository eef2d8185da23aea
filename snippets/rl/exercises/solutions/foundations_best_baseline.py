import torch


def best_baseline(scores: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    weights = scores.square().sum(1)  # E|score|² (R - b)² is least at this mean
    return (weights * rewards).sum() / weights.sum()
