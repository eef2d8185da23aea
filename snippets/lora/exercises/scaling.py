"""With LoRA's factor, the first step of SGD lowers the loss by less and less as the
rank grows. Under which factor does it not depend on the rank?

用 LoRA 原来的系数，秩越高，SGD 第一步让损失下降得越少。
换成什么系数，下降的多少就与秩无关？
"""


def scaling(rank: int, alpha: float) -> float:
    # TODO: LoRA's factor makes the first SGD step lower the loss by less and less as
    # the rank grows; return the factor under which it does not depend on the rank
    return alpha / rank
