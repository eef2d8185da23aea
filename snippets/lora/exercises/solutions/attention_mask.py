import torch


def attention_mask(lengths: torch.Tensor, n: int) -> torch.Tensor:
    place = torch.arange(n)
    causal = place[:, None] >= place
    real = place < lengths[:, None]
    return causal & real[:, None, None, :]
