"""Sentences of token ids, padded: each ends with its end token, and padding follows.
What does the decoder read, and what is it to say at each place?

一批补齐过的词元编号：每句以结束词元结尾，后面是填充。
解码器在每个位置上读什么，又该说什么？
"""

from torch import Tensor


def teacher_forcing(target: Tensor, start: int, padding: int) -> tuple[Tensor, Tensor]:
    # target: (batch, length)
    # returns what the decoder reads and its labels, both (batch, length)
    # TODO: it must not read what it is to say; -100 leaves a place out of the loss
    return target, target
