"""Recall within one collection. Every picture asks for others of its kind among the
rest: a picture must not find itself. Return the share of pictures, among those that
have another of their kind, with at least one such picture among their `k` nearest by
the cosine.

在同一批图片里求召回率。每张图片到其余图片里去找同类，不能找到自己。只看有同类的图片：
按余弦最近的 k 张里至少有一张同类的，占多少？返回这个比例。
"""

from torch import Tensor
from torch.nn import functional as F


def recall(features: Tensor, kinds: Tensor, k: int) -> float:
    # TODO: every picture finds itself
    x = F.normalize(features, dim=-1)
    nearest = (x @ x.T).topk(k).indices  # (pictures, k)
    same = kinds[nearest] == kinds[:, None]
    return same.any(1).double().mean().item()
