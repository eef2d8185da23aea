import torch
import torch.nn.functional as F
from torch import Tensor


def resize(
    positions: Tensor, rows: int, columns: int, to_rows: int, to_columns: int
) -> Tensor:
    cls, patches = positions[:, :1], positions[:, 1:]
    plane = patches.mT.unflatten(2, (rows, columns))  # (1, width, rows, columns)
    plane = F.interpolate(
        plane, (to_rows, to_columns), mode="bicubic", align_corners=False
    )
    return torch.cat([cls, plane.flatten(2).mT], 1)
