"""Tiny models for the tests of LoRA."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """PEFT's and Transformers' warnings to each other say nothing about the tests of this folder."""
    for message in (".*is_gradient_checkpointing", "Model has `tie_word_embeddings=True`", "Setting `save_embedding"):
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}"))


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def llama() -> Callable[..., LlamaForCausalLM]:
    """Makes a Llama of two layers whose embedding and head share one weight; the same one at every call."""

    def make(**options: object) -> LlamaForCausalLM:
        sizes = {"vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return LlamaForCausalLM(LlamaConfig(**{**sizes, **heads, **options})).eval()

    return make


@pytest.fixture
def ids() -> torch.Tensor:
    """Two rows of eleven tokens."""
    return torch.randint(0, 48, (2, 11), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Gives every trained parameter random values, as if it had been trained."""

    def fill(model: nn.Module) -> nn.Module:
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3)
        return model

    return fill
