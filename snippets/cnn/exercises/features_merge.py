"""Merge an adapter into a convolution of any kernel. `base` is k × k; the adapter is
`down`, k × k to r channels, and then `up`, 1 × 1 to all channels, and counts `scale`
times. Return weights that give in one convolution what base and adapter give together.

把适配器并入任意大小的卷积。base 是 k × k；适配器先是 down，k × k，到 r 个通道，
再是 up，1 × 1，到全部通道，并乘以 scale。返回一组权重，使单个卷积给出的结果，
与原来的卷积加适配器相同。
"""

from torch import Tensor


def merged(base: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    # base (outputs, inputs, k, k), down (r, inputs, k, k), up (outputs, r, 1, 1)
    # TODO: the adapter is lost
    return base
