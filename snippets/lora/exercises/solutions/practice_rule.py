from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
    TaskOutput,
)
from llm_tutorial.lora.tagging import Tagged


def choose_by_rule(input_ids: Tensor, idf: Tensor, limit: int) -> Tensor:
    beside = F.pad(input_ids[:, 1:], (0, 1))  # (batch, length), the next token
    row = torch.arange(len(input_ids), device=input_ids.device)[:, None]
    # text, token and next token as one number
    pair = (row * len(idf) + input_ids) * len(idf) + beside
    _, kind, counts = pair.unique(return_inverse=True, return_counts=True)
    # padding repeats, the pair before it does not
    wanted = (counts[kind] > 1) & (input_ids > 0)
    rarity = (idf[input_ids] + idf[beside]).masked_fill(~wanted, -torch.inf)
    # topk may take any of equal ones
    best, places = rarity.sort(descending=True, stable=True)
    return places.where(best > -torch.inf, -1)[:, :limit].sort(-1).values


# To compare it: copy train_entities.py to train_rule.py, with what is here at its
# beginning, and there
# - name the run LongRun("rule", …), so that what the page shows is not overwritten;
# - add to VARIANTS "rule": {"entities": "random"}, which differs from "random" in the
#   positions alone; keep "random" and "learned", whose learning rate all three have
#   (TUNED_AS); leave out the other kinds and the sweep;
# - after `settings`:
#   idf = inverse_document_frequency(examples["train"], settings["vocab_size"]);
# - in `train`, where the variant is "rule": model = EntitiesByRule(config, idf).


def inverse_document_frequency(examples: Sequence[Tagged], vocab_size: int) -> Tensor:
    documents = sum(
        (example.input_ids.bincount(minlength=vocab_size) > 0).long()
        for example in examples
    )
    return (len(examples) / documents.clamp(min=1)).log()  # (vocab_size,)


class EntitiesByRule(RelationSparseForTokenClassification):
    def __init__(self, config: RelationSparseConfig, idf: Tensor) -> None:
        super().__init__(config)
        self.register_buffer("idf", idf)

    def forward(
        self, input_ids: Tensor, entities: Tensor | None = None, **rest: Any
    ) -> TaskOutput:
        if entities is None:
            entities = choose_by_rule(input_ids, self.idf, self.config.num_entities)
        return super().forward(input_ids, entities=entities, **rest)
