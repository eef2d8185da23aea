import torch


def choose(score: torch.Tensor, limit: int) -> torch.Tensor:
    above = score > 0
    return above & (above.cumsum(1) <= limit)
