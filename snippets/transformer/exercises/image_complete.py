"""Let the model complete a picture: the first image tokens are given, it draws the
rest. Write the `LogitsProcessor` that forces the given ids, one at each step, after a
prompt of `start` tokens, and leaves all later steps alone. Then try it with `generate`:
the upper half of a picture, another name, and eight seeds.

让模型把一张图补完：前几行图像词元是给定的，其余由模型来画。写一个
`LogitsProcessor`：提示有 `start` 个词元，此后每一步强制写出给定的一个编号，给定的
写完之后就不再干预。然后在 `generate` 里试一试：给出一张图的上半，换一个名字，
用八个种子。
"""

import torch
from torch import Tensor
from transformers import LogitsProcessor


class Given(LogitsProcessor):
    def __init__(self, ids: Tensor, start: int) -> None:
        self.ids, self.start = ids, start  # ids (batch, given), start: tokens of prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # TODO: at this step every other id must become impossible
        return torch.zeros_like(scores)
