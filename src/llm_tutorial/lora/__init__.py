"""Low-rank adaptation: fewer trained parameters."""

from llm_tutorial.lora.inject import (
    add_lora,
    count_parameters,
    lora_layers,
    matching_linears,
    merge_and_unload,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from llm_tutorial.lora.linear import LoRALinear

__all__ = [
    "LoRALinear",
    "add_lora",
    "count_parameters",
    "lora_layers",
    "matching_linears",
    "merge_and_unload",
    "merge_lora",
    "remove_lora",
    "unmerge_lora",
]
