import torch


def shifted(alphas_cumprod: torch.Tensor, factor: float) -> torch.Tensor:
    return alphas_cumprod / (alphas_cumprod + factor * (1 - alphas_cumprod))
