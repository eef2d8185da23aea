"""Can a plain rule replace the gate? Choose as entities where a pair of characters
begins that comes back in the same text, the rarest first.

一条简单的规则能不能代替门？
相邻两字在同一篇里再次出现，就选它开头的位置，少见的优先。
"""

import torch
from torch import Tensor


def choose_by_rule(input_ids: Tensor, idf: Tensor, limit: int) -> Tensor:
    # input_ids: (batch, length), 0 at padding
    # idf: (vocab_size,), the higher the fewer documents have the token
    # returns positions (batch, min(limit, length)) to read as entities: each once,
    # ascending, -1 where there is none
    # TODO: the first positions are no choice. A token and the next one are a pair if
    # neither is padding; choose where a pair begins that its own text has at least
    # twice, those with the highest sum of both idf, the earlier of equal ones
    batch, length = input_ids.shape
    return torch.arange(min(limit, length)).expand(batch, -1)
