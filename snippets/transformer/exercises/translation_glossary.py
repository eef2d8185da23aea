"""A glossary prescribes a term. Which tokens may follow, so that every translation
that ends has the term in it, as one piece?

术语表规定了一个译名。每一步允许写哪些词元，才能保证写完的译文里一定有它，
而且是连着的一整段？
"""

import torch
from torch import Tensor
from transformers import LogitsProcessor


class Glossary(LogitsProcessor):
    def __init__(self, term: list[int], end: int, max_length: int) -> None:
        # term: token ids; max_length: of the whole output, start and end included
        self.term, self.end, self.max_length = term, end, max_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # input_ids: (row, written), start token first; scores: (row, vocabulary)
        # TODO: no end before the term stands; when only just enough room is left
        # for it, write it
        scores[:, self.end] = -torch.inf
        return scores
