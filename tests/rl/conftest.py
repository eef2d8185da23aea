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


class Letters:
    """A tokenizer of 31 letters and an end token, for models that train in a second."""

    eos_token_id, model_max_length = 31, 64
    letters = " abcdefghijklmnopqrstuvwxyz.,!?"

    def __call__(self, text: str, **kwargs):
        from types import SimpleNamespace

        return SimpleNamespace(input_ids=[self.letters.index(letter) for letter in text.lower()])

    def batch_decode(self, rows, **kwargs):
        return ["".join(self.letters[token] for token in row if token != self.eos_token_id) for row in rows]


@pytest.fixture
def letters():
    return Letters()


@pytest.fixture
def small():
    """A random Llama that knows these letters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, eos_token_id=31, bos_token_id=30, pad_token_id=31, initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()
