from torch import Tensor


def merged_weight(weight: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    rank = A.shape[0]
    return weight + alpha / rank * B @ A
