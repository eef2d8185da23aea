import torch


def dora_forward(
    x: torch.Tensor, weight: torch.Tensor, A: torch.Tensor, B: torch.Tensor, magnitude: torch.Tensor, scaling: float
) -> torch.Tensor:
    # x: (..., in_features), weight: (out_features, in_features), magnitude: (out_features,)
    # TODO: each row of weight + scaling * B A gives a direction, magnitude its length;
    # the norm that divides is a constant for the gradient (DoRA, section 4.3)
    return x @ (weight + scaling * B @ A).T
