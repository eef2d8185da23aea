import torch


def merged_weight(weight: torch.Tensor, A: torch.Tensor, B: torch.Tensor, alpha: float) -> torch.Tensor:
    # weight: (out_features, in_features), A: (rank, in_features), B: (out_features, rank)
    # TODO: the one weight that gives what the layer and its adapter give together
    return weight
