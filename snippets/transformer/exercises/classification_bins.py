"""A model that is sure of most texts leaves the lower bins of equal width nearly empty,
and the error of a bin with three texts is noise. Give every bin as many texts: sort by
confidence and cut into parts whose sizes differ by one at most.

模型对多数文本都很有把握时，等宽区间里靠下的几个几乎是空的，而一个区间只有三条文本，
算出的误差就只是噪声。请让各区间的文本一样多：按置信度排序，再切成大小至多相差一的几段。
"""

import torch


def calibration_error(
    confidence: torch.Tensor, right: torch.Tensor, bins: int
) -> float:
    # TODO: bins of equal mass; these are of equal width
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].double().mean()
            total += float(inside.double().mean() * gap.abs())
    return total
