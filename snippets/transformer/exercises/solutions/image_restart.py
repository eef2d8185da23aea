import torch
from torch import Tensor


def restart(
    codebook: Tensor, counts: Tensor, vectors: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    unused = counts < least
    drawn = vectors[torch.randint(len(vectors), (len(codebook),))]
    mean = len(vectors) / len(codebook)
    return (
        torch.where(unused[:, None], drawn, codebook),
        torch.where(unused, mean, counts),
    )
