"""Write the schedule "linear warm-up, then half a cosine" as a share of the highest
learning rate: what does step number `step` get?

学习率先线性预热，再沿半个余弦下降。请把它写成函数：第 `step` 步用最高学习率的几分之几？
"""


def share(step: int, warmup: int, steps: int) -> float:
    # step: from 0 to steps - 1; warmup: steps of the rise, perhaps 0
    # rises from 0 at step 0 to 1 at step `warmup`, reaches 0 at step `steps`
    # TODO: this falls in a straight line, and does not warm up
    return 1 - step / steps
