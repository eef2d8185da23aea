"""In grouped-query attention several query heads share one set of keys and values.
Which heads read which set? Write it without a loop over heads.

分组查询注意力里，几个查询头共用一组键和值。
哪些头读哪一组？请写出来，不要逐头循环。
"""

from torch import Tensor


def grouped_attention(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    # Q: (batch, heads, n, d); K and V: (batch, groups, m, d)
    # heads is a multiple of groups, and heads of a group stand next to each other
    # TODO: each head reads the keys and values of its group, not those of the first
    K, V = K[:, :1], V[:, :1]
    scores = Q @ K.mT / Q.shape[-1] ** 0.5
    return scores.softmax(-1) @ V
