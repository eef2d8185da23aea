"""No end before the term; when room runs out, the term token by token."""

import torch
from torch import Tensor
from transformers import LogitsProcessor


class Glossary(LogitsProcessor):
    def __init__(self, term: list[int], end: int, max_length: int) -> None:
        self.term, self.end, self.max_length = term, end, max_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        size = len(self.term)
        room = self.max_length - 1 - input_ids.shape[1]  # one place is the end's
        for row, written in enumerate(input_ids[:, 1:].tolist()):
            places = range(len(written) - size + 1)
            if any(written[at : at + size] == self.term for at in places):
                continue
            scores[row, self.end] = -torch.inf
            begun = max(
                n for n in range(size) if written[len(written) - n :] == self.term[:n]
            )
            if room <= size:  # a term given up now could not be begun again
                forced = self.term[begun]
                only = scores.new_full(scores.shape[1:], -torch.inf)
                only[forced] = 0.0
                scores[row] = only
        return scores
