"""DoRA gives each row of the updated weight a length of its own. Write the forward
pass, with a norm that lets no gradient through.

DoRA 给更新后权重的每一行一个单独的长度。
请写出前向计算，其中的范数不传梯度。
"""

from torch import Tensor


def dora_forward(
    x: Tensor, weight: Tensor, A: Tensor, B: Tensor, magnitude: Tensor, scaling: float
) -> Tensor:
    # x: (..., in_features), weight: (out_features, in_features)
    # A: (rank, in_features), B: (out_features, rank), magnitude: (out_features,)
    # TODO: each row of weight + scaling * B A gives a direction, magnitude its length;
    # the norm that divides is a constant for the gradient (DoRA, section 4.3)
    return x @ (weight + scaling * B @ A).T
