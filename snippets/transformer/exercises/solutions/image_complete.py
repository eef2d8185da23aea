import torch
from torch import Tensor
from transformers import LogitsProcessor


class Given(LogitsProcessor):
    def __init__(self, ids: Tensor, start: int) -> None:
        self.ids, self.start = ids, start  # ids (batch, given), start: tokens of prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self.start
        if step >= self.ids.shape[1]:
            return scores
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter(1, self.ids[:, step : step + 1], 0.0)
