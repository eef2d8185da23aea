import torch


def merged_weight(
    weight: torch.Tensor, A: torch.Tensor, B: torch.Tensor, alpha: float
) -> torch.Tensor:
    rank = A.shape[0]
    return weight + alpha / rank * B @ A
