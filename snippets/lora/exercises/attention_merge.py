"""Attention was computed over several parts of the keys, each with its log-sum-exp.
How are the parts merged into attention over all keys?

注意力在键的几个部分上分别算好了，每部分都带着 log-sum-exp。
怎样把它们合并成对全部键的注意力？
"""

import torch


def merge(outs: torch.Tensor, lses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # outs: (parts, n, v), attention over each part of the keys
    # lses: (parts, n), the log-sum-exp of its scores
    # returns attention over all keys, (n, v), and its log-sum-exp, (n,)
    # TODO: a part counts by the sum of its exponentials, not like every other
    return outs.mean(0), lses.mean(0)
