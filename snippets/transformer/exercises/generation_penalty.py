"""The APIs of OpenAI and vLLM have two penalties that subtract: `frequency` for each
time that a token was written, `presence` once if it was written at all. The prompt does
not count. Write them as a `LogitsProcessor`.

OpenAI 和 vLLM 的接口里有两种做减法的惩罚：一个词元每写过一次就减去 `frequency`，只要
写过就再减去一次 `presence`；提示词不算在内。请把它们写成一个 `LogitsProcessor`。
"""

import torch
from transformers import LogitsProcessor


class SubtractedPenalty(LogitsProcessor):
    def __init__(self, frequency, presence, prompt_length):
        self.frequency, self.presence = frequency, presence
        self.prompt_length = prompt_length

    def __call__(self, input_ids, scores):  # (row, token), (row, vocabulary)
        # TODO: leave the prompt out, and add the presence penalty
        ones = torch.ones_like(input_ids, dtype=scores.dtype)
        counts = torch.zeros_like(scores).scatter_add(1, input_ids, ones)
        return scores - self.frequency * counts
