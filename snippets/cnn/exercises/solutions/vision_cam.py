import torch
from torch import Tensor


def class_map(features: Tensor, weight: Tensor, bias: Tensor, label: int) -> Tensor:
    places = features[0].numel()
    return torch.einsum("m,mij->ij", weight[label], features) / places
