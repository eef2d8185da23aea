"""Which query may read which key, when the decoder must not see the future and short
rows are padded at their end? Mend the two comparisons.

解码器不能看未来，短的行末尾有填充：
哪个查询可以读哪个键？请改对两处比较。
"""

import torch


def attention_mask(lengths: torch.Tensor, n: int) -> torch.Tensor:
    # lengths: (batch,) real tokens of each row, which is padded at its end to n tokens
    # returns (batch, 1, query, key): True where a query may read a key, as for SDPA
    place = torch.arange(n)
    # TODO: no query reads the future, and none reads padding; both lines are wrong
    causal = place[:, None] <= place
    real = place >= lengths[:, None]
    return causal & real[:, None, None, :]
