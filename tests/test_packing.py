"""Packed examples have the loss that they have alone, or are refused: for any decoder."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    MptConfig,
    MptForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
)

from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseForCausalLM
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import Example, answer_logits, answer_loss, encode, pack

PAIRS = {"two days →": "2天", "March 5, 2026 →": "2026年3月5日", "euro →": "欧元", "in 3 weeks →": "3周后"}

BASE: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = {**BASE, "intermediate_size": 48, "num_key_value_heads": 2}
APART: dict[str, Callable[[], nn.Module]] = {
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**WIDE)),
    "Mistral": lambda: MistralForCausalLM(MistralConfig(**WIDE, sliding_window=4)),
    "Mixtral": lambda: MixtralForCausalLM(MixtralConfig(**WIDE, num_local_experts=4)),
    "GPT-2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1)
    ),
}
MIXED: dict[str, Callable[[], nn.Module]] = {
    "OPT": lambda: OPTForCausalLM(OPTConfig(**BASE, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=64)),
    "Falcon": lambda: FalconForCausalLM(FalconConfig(**BASE)),
    "MPT": lambda: MptForCausalLM(MptConfig(vocab_size=64, d_model=32, n_layers=2, n_heads=4)),
    "XGLM": lambda: XGLMForCausalLM(XGLMConfig(vocab_size=64, d_model=32, num_layers=2, attention_heads=4, ffn_dim=48)),
    "Bloom": lambda: BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)),
    "Mamba": lambda: MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2)),
    "our own": lambda: RelationSparseForCausalLM(RelationSparseConfig(**BASE)),
}
EXAMPLES = [Example([5, 6, 7, 8, 9], 3), Example([5, 10, 11, 12, 13, 14, 15], 2), Example([20, 21, 22], 1)]


def alone(model: Any) -> float:
    """The loss of each example in a row of its own, without anything that packing uses."""
    total = 0.0
    with torch.no_grad():
        for ids, start in EXAMPLES:
            logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            total -= sum(float(logits[place - 1, ids[place]]) for place in range(start, len(ids)))
    return total


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", APART)
def test_models_that_follow_positions_read_packed_examples_as_if_alone(name: str) -> None:
    model = APART[name]().eval()
    with torch.no_grad():
        assert float(answer_loss(model, EXAMPLES)) == pytest.approx(alone(model), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", APART)
def test_they_are_taken_in_any_precision(name: str, dtype: torch.dtype) -> None:
    assert answer_loss(APART[name]().to(dtype), EXAMPLES).isfinite()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MIXED)
def test_models_that_read_on_are_refused_with_a_way_out(name: str, dtype: torch.dtype) -> None:
    model = MIXED[name]().to(dtype)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"one example at a time or padded[\s\S]*不能读取打包"):
            answer_loss(model, EXAMPLES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["OPT", "Falcon", "MPT", "XGLM", "Mamba"])
def test_one_example_at_a_time_is_taken_from_any_model(name: str) -> None:
    model = MIXED[name]().eval()
    with torch.no_grad():
        apart = sum(float(answer_loss(model, [example])) for example in EXAMPLES)
    assert apart == pytest.approx(alone(model), abs=1e-3)


def test_a_model_is_looked_at_once_and_again_when_its_attention_changes() -> None:
    model: Any = APART["Llama"]()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        answer_loss(model, EXAMPLES)
    assert len(calls) == 3 + 4
    model.set_attn_implementation("eager")
    answer_loss(model, EXAMPLES)
    assert len(calls) == 3 + 4 + 1 + 4


def test_the_look_leaves_the_model_and_the_random_numbers_as_they_were() -> None:
    model: Any = LlamaForCausalLM(LlamaConfig(**WIDE, attention_dropout=0.5)).train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    torch.manual_seed(3)
    first = answer_loss(model, EXAMPLES)
    assert [module.training for module in model.modules()] == before
    torch.manual_seed(3)
    assert torch.equal(answer_loss(model, EXAMPLES), first)  # looked at already


def test_gradients_under_an_autocast_that_goes_on_are_not_lost() -> None:
    model = APART["Llama"]()
    with torch.autocast("cpu", torch.bfloat16):
        answer_loss(model, EXAMPLES).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_that_gives_all_logits_is_refused() -> None:
    class All(nn.Module):
        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 64))

    with pytest.raises(ValueError, match="cannot read packed examples"):
        answer_logits(All(), EXAMPLES)


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no end token[\s\S]*没有结束词元"):
        encode(SimpleNamespace(eos_token_id=None), "a", "b")


def test_packing_changes_no_loss():
    model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
    examples = [encode(tokenizer, prompt, answer) for prompt, answer in PAIRS.items()]
    with torch.no_grad():
        together = answer_loss(model, examples)
        apart = sum(answer_loss(model, [example]) for example in examples)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-3)


def test_logits_are_computed_for_the_answers_alone():
    tokenizer = load_tokenizer("smollm2-135m")
    examples = [encode(tokenizer, prompt, answer) for prompt, answer in PAIRS.items()]
    inputs, labels = pack(examples)
    assert len(inputs["logits_to_keep"]) == len(labels) == sum(len(e.input_ids) - e.answer_from for e in examples)
