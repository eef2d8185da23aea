from torch import Tensor


def dora_forward(
    x: Tensor, weight: Tensor, A: Tensor, B: Tensor, magnitude: Tensor, scaling: float
) -> Tensor:
    direction = weight + scaling * B @ A
    norm = direction.norm(dim=1).detach()
    return x @ direction.T * (magnitude / norm)
