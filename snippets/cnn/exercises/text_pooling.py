"""A batch of texts is padded on the right. Give the maximum of each filter over the
places that lie inside each text, so that padding never decides.

一批文本在右边补齐。请给出每个卷积核在各条文本内部各位置上的最大值，不让补齐的位置左右结果。
"""

from torch import Tensor


def max_over_text(y: Tensor, lengths: Tensor, region: int) -> Tensor:
    """(texts, filters, places), lengths of the texts -> (texts, filters).

    Place i is the n-gram of tokens i to i + region - 1.
    """
    # TODO: this takes the places of the padding as well
    return y.amax(-1)
