import pytest
import torch


@pytest.fixture
def tokenizer():
    from llm_tutorial.models import load_tokenizer

    return load_tokenizer()


@pytest.fixture
def tiny():
    """A random Llama of 0.9 M parameters with SmolLM2's vocabulary, most of them in its embedding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, eos_token_id=2, bos_token_id=1, pad_token_id=2,
        initializer_range=0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()
