"""A classifier was trained and calibrated where its classes had certain shares, and is
used where they have others. Correct its probabilities for the new shares, for any
number of classes; within a class, texts are as they were.

分类器训练和校准时各类有一种比例，使用时是另一种。请按新的比例校正它给出的概率，类别数任意；
每一类内部的文本没有变化。
"""

import torch


def corrected(
    p: torch.Tensor, trained: torch.Tensor, now: torch.Tensor
) -> torch.Tensor:
    # p: (texts, classes); trained, now: shares of the classes, (classes,)
    # TODO: p(class | text) under the new shares
    return p
