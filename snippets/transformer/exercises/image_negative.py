"""Guidance can also lead away from a second prompt ("not this"). `given`, `negative`
and `without` are logits for a prompt, for an unwanted one and for an empty one. Return
logits that go from `without` by `scale` towards the prompt, and by `away` away from the
unwanted one. Normalise all three first: each has a zero of its own.

引导也可以背离另一条提示（「不要这个」）。`given`、`negative`、`without` 分别是某条
提示、不想要的提示、空提示下的 logit。从 `without` 出发，朝着提示走 `scale` 步，
背着不想要的提示走 `away` 步，返回得到的 logit。先把三者都归一化：各自的零点不同。
"""

from torch import Tensor


def guided(
    given: Tensor, negative: Tensor, without: Tensor, scale: float, away: float
) -> Tensor:
    # TODO: this forgets the unwanted prompt, and does not normalise
    return without + scale * (given - without)
