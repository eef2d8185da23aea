"""Which single weight gives what a linear layer and its adapter give together?

哪一个权重矩阵，单独就能给出「线性层加适配器」的输出？
"""

from torch import Tensor


def merged_weight(weight: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    # weight: (out_features, in_features)
    # A: (rank, in_features), B: (out_features, rank)
    # TODO: the one weight that gives what the layer and its adapter give together
    return weight
