"""Start unused codes anew. `counts` says how often each code was chosen lately; a code
below `least` moves to a vector drawn from `vectors`, and its count becomes the mean
number of vectors for each code. Return the new codebook and counts; leave codes in use,
and both arguments, unchanged.

让没人用的码重新开始。`counts` 是每个码近来被选中的次数；低于 `least` 的码，移到从
`vectors` 里随机抽出的一个向量上，次数改成平均每个码分到的向量数。返回新的码本和次数；
正在用的码不动，两个参数也不改。
"""

import torch
from torch import Tensor


def restart(
    codebook: Tensor, counts: Tensor, vectors: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    # TODO: (codes, width), (codes,), (vectors, width)
    drawn = vectors[torch.randint(len(vectors), (len(codebook),))]
    return drawn, counts
