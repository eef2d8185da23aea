import torch


def dora_forward(
    x: torch.Tensor,
    weight: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    magnitude: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    direction = weight + scaling * B @ A
    norm = direction.norm(dim=1).detach()
    return x @ direction.T * (magnitude / norm)
