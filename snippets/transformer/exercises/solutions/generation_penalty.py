import torch
from transformers import LogitsProcessor


class SubtractedPenalty(LogitsProcessor):
    def __init__(self, frequency, presence, prompt_length):
        self.frequency, self.presence = frequency, presence
        self.prompt_length = prompt_length

    def __call__(self, input_ids, scores):  # (row, token), (row, vocabulary)
        written = input_ids[:, self.prompt_length :]
        ones = torch.ones_like(written, dtype=scores.dtype)
        counts = torch.zeros_like(scores).scatter_add(1, written, ones)
        return scores - self.frequency * counts - self.presence * (counts > 0)
