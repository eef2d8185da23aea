"""Low-rank adaptation: fewer trained parameters."""

from llm_tutorial.lora.adapter import load_adapter, save_adapter
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
from llm_tutorial.lora.quantized import (
    Q4Linear,
    dequantize_model,
    dequantize_q4_1,
    quantize_model,
    quantize_model_from_gguf,
    quantize_q4_1,
    weight_bytes,
)
from llm_tutorial.lora.variants import lora_plus_groups, pissa_init

__all__ = [
    "LoRALinear",
    "Q4Linear",
    "add_lora",
    "count_parameters",
    "dequantize_model",
    "dequantize_q4_1",
    "load_adapter",
    "lora_layers",
    "lora_plus_groups",
    "matching_linears",
    "merge_and_unload",
    "merge_lora",
    "pissa_init",
    "quantize_model",
    "quantize_model_from_gguf",
    "quantize_q4_1",
    "remove_lora",
    "save_adapter",
    "unmerge_lora",
    "weight_bytes",
]
