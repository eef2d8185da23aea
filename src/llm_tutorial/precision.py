"""Sixteen bits: what multiplies may be short, what is exponentiated or summed up is float32.

A model may be float16 or bfloat16 as a whole, or be run under autocast. float16 ends at 65,504, bfloat16 has three
significant digits: scores, log-sum-exps, long sums and losses are widened, as fused kernels do (Micikevicius et al.,
2018, arXiv:1710.03740). float32 and float64 stay what they are, bit for bit.
"""

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """float32 for a type of 16 bits, any other type itself.

    Example:
        >>> wide(torch.float16), wide(torch.float64)
        (torch.float32, torch.float64)
    """
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def widen(x: Tensor) -> Tensor:
    """A tensor of 16 bits as float32, any other as it is.

    Example:
        >>> widen(torch.ones(2, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.to(wide(x.dtype))


def autocast(x: Tensor) -> Tensor:
    """A tensor as autocast gives it to a product: short where autocast is on, else as it is; float64 stays.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     autocast(torch.ones(2)).dtype
        torch.bfloat16
    """
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x
