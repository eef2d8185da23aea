"""Attention rollout with a choice: in place of the mean over heads take their
maximum, and make each row sum to one again before the next layer. `attention` is
(layer, head, query, key) of one picture. Return what CLS, the first token, holds of
each token.

注意力展开的一个变体：不取各头的平均，而取最大值，并在进入下一层之前让每一行重新
加起来等于一。`attention` 是一张图的（层，头，查询，键）。返回第一个词元 CLS 里，
各个词元各占多少。
"""

import torch
from torch import Tensor


def rollout_of_maximum(attention: Tensor) -> Tensor:
    shares = torch.eye(attention.shape[-1])
    for layer in attention:
        # TODO: the maximum over heads, the residual, rows that sum to one
        shares = shares @ layer.mean(0)
    return shares[0]
