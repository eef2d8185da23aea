"""Some kernels are a column times a row: two thin passes, 2k multiplications a place
instead of k². Return (column, row), or None where the kernel is not of this form.

有些卷积核等于一列乘一行：两遍细的卷积，每格乘 2k 次，而不是 k² 次。
返回 (列, 行)；卷积核不是这种形式时返回 None。
"""

import torch
from torch import Tensor


def two_passes(kernel: Tensor) -> tuple[Tensor, Tensor] | None:
    # kernel: (k, k); returns (k,) and (k,) whose outer product is the kernel
    # TODO: right for kernels with equal rows only
    return torch.ones(len(kernel)), kernel[0]
