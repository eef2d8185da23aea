"""Packed 4-bit layers: the blocks of the gguf package, the same logits, less memory."""

import copy
import warnings
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from llm_tutorial.fetch import cache_folder
from llm_tutorial.lora.adapter import load_adapter, save_adapter
from llm_tutorial.lora.inject import add_lora, count_parameters, matching_linears, merge_lora
from llm_tutorial.lora.linear import LoRALinear
from llm_tutorial.lora.quantized import (
    Q4Linear,
    _unpermute,
    dequantize_model,
    dequantize_q4_1,
    quantize_model,
    quantize_model_from_gguf,
    quantize_q4_1,
    weight_bytes,
)
from llm_tutorial.lora.variants import pissa_init
from llm_tutorial.memory import saved_tensor_bytes

Q4_1, Q8_0 = GGMLQuantizationType.Q4_1, GGMLQuantizationType.Q8_0
WIDE = {"intermediate_size": 64}  # both sides of every layer are multiples of 32


# --- blocks


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    blocks=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 0.05, 1.0, 300.0]),
    shift=st.sampled_from([0.0, -1.0, 7.5]),
    seed=st.integers(0, 2**31),
)
def test_blocks_are_byte_for_byte_those_of_the_gguf_package(rows, blocks, scale, shift, seed):
    weight = torch.randn(rows, 32 * blocks, generator=torch.Generator().manual_seed(seed)) * scale + shift
    theirs = quants.quantize(weight.numpy(), Q4_1)
    ours = quantize_q4_1(weight)
    assert ours.flatten(-2).numpy().tobytes() == theirs.tobytes()
    assert torch.equal(dequantize_q4_1(ours), torch.from_numpy(quants.dequantize(theirs, Q4_1)))


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_constant_block_is_kept_exactly(value):
    weight = torch.full((2, 64), value)
    assert torch.equal(dequantize_q4_1(quantize_q4_1(weight)), weight)


def test_an_error_is_at_most_half_a_step():
    weight = torch.randn(8, 96)
    error = (dequantize_q4_1(quantize_q4_1(weight)) - weight).abs().unflatten(-1, (-1, 32)).amax(-1)
    values = weight.unflatten(-1, (-1, 32))
    step = (values.amax(-1) - values.amin(-1)) / 15
    assert (error <= step / 2 + 0.01).all()  # the scale and the minimum are rounded to 16 bits
    assert (error > step / 4).all()


def test_a_weight_takes_five_bits():
    assert quantize_q4_1(torch.randn(10, 320)).nbytes * 8 == 5 * 3200


def test_a_row_that_cannot_be_cut_into_blocks_is_refused():
    with pytest.raises(ValueError, match="Q4_1 packs 32 weights of a row together; a row of 48 cannot"):
        quantize_q4_1(torch.randn(2, 48))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="not finite"):
        quantize_q4_1(torch.full((1, 32), value))


# --- one layer


def dense(layer: Q4Linear) -> nn.Linear:
    """The float layer with the same, dequantised weight."""
    return dequantize_model(nn.Sequential(copy.deepcopy(layer)))[0]


@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_its_dequantised_weight_does(bias):
    layer = Q4Linear.from_linear(nn.Linear(64, 8, bias=bias))
    x, y = (torch.randn(5, 3, 64, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    out, expected = layer(x), dense(layer)(y)
    assert torch.equal(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_the_gradient_is_that_of_finite_differences():
    layer = Q4Linear.from_linear(nn.Linear(32, 4, bias=False))
    assert torch.autograd.gradcheck(layer, torch.randn(2, 32, dtype=torch.float64, requires_grad=True))


def test_only_the_packed_weight_is_kept_for_the_backward_pass():
    layer = Q4Linear.from_linear(nn.Linear(256, 256, bias=False))
    x = torch.randn(1, 256, requires_grad=True)
    assert saved_tensor_bytes(layer, lambda: layer(x)) == 0
    naive = lambda: nn.functional.linear(x, dequantize_q4_1(layer.blocks))  # noqa: E731
    assert saved_tensor_bytes(layer, naive) == 4 * 256 * 256


def test_a_cast_leaves_the_packed_weight_alone():
    layer = Q4Linear.from_linear(nn.Linear(64, 8))
    before = layer.weight
    assert torch.equal(layer.to(torch.bfloat16).weight, before)
    assert layer(torch.randn(2, 64).bfloat16()).dtype == torch.bfloat16


def test_blocks_of_another_shape_are_refused():
    for blocks in (torch.zeros(4, 2, 18, dtype=torch.uint8), torch.zeros(4, 2, 20)):
        with pytest.raises(ValueError, match="blocks must be uint8 of shape"):
            Q4Linear(blocks)


# --- an adapter on top


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=str)
def test_an_adapter_learns_on_a_packed_layer_as_on_the_dequantised_one(options):
    packed = Q4Linear.from_linear(nn.Linear(64, 32))
    grads = []
    for base in (packed, dense(packed)):
        torch.manual_seed(3)
        layer = LoRALinear(base, rank=4, **options)
        nn.init.normal_(layer.lora_B)
        output = layer(torch.randn(6, 64))
        output.square().mean().backward()
        grads.append([output.detach(), *(p.grad for p in layer.parameters() if p.requires_grad)])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_an_update_is_not_merged_into_a_packed_weight(llama, ids, randomise):
    model = randomise(add_lora(quantize_model(llama(**WIDE)), rank=2))
    before = model(ids).logits
    with pytest.raises(ValueError, match=r"packed 4-bit weight .* dequantize_model\(\) first, then merge"):
        merge_lora(model)
    torch.testing.assert_close(merge_lora(dequantize_model(model))(ids).logits, before, atol=1e-5, rtol=1e-4)


def test_pissa_needs_float_weights(llama):
    with pytest.raises(ValueError, match=r"packed in 4 bits; dequantize_model\(\) first"):
        pissa_init(add_lora(quantize_model(llama(**WIDE)), rank=2))


def test_an_adapter_trained_on_packed_weights_is_saved_like_any_other(llama, ids, randomise, tmp_path):
    model = randomise(add_lora(quantize_model(llama(**WIDE)), rank=2))
    folder = save_adapter(model, tmp_path / "adapter")
    assert torch.equal(load_adapter(quantize_model(llama(**WIDE)), folder)(ids).logits, model(ids).logits)
    floats = load_adapter(dequantize_model(quantize_model(llama(**WIDE))), folder)
    torch.testing.assert_close(floats(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-4)


# --- a whole model


def test_every_linear_layer_but_the_head_is_packed(llama):
    model = quantize_model(llama(**WIDE))
    packed = [name for name, module in model.named_modules() if isinstance(module, Q4Linear)]
    assert packed == matching_linears(llama(**WIDE), "all-linear")
    assert isinstance(model.lm_head, nn.Linear)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_packed_model_has_the_logits_of_the_dequantised_one(llama, ids):
    model = quantize_model(llama(**WIDE))
    logits = model(ids).logits
    torch.testing.assert_close(dequantize_model(model)(ids).logits, logits, atol=1e-5, rtol=1e-4)
    assert 0 < (llama(**WIDE)(ids).logits - logits).abs().max() < 0.1


def test_quantising_again_changes_nothing(llama):
    model = quantize_model(llama(**WIDE))
    weights = [module.weight for module in model.modules() if isinstance(module, Q4Linear)]
    again = quantize_model(dequantize_model(model))
    for old, module in zip(weights, (m for m in again.modules() if isinstance(m, Q4Linear)), strict=True):
        torch.testing.assert_close(module.weight, old, atol=1e-4, rtol=1e-3)


def test_packed_weights_are_counted_and_weighed(llama):
    model, floats = quantize_model(llama(**WIDE)), llama(**WIDE)
    packed = sum(floats.get_submodule(n).weight.numel() for n in matching_linears(floats, "all-linear"))
    assert count_parameters(model).total == count_parameters(floats).total
    assert weight_bytes(floats) == 4 * count_parameters(floats).total  # the tied head is counted once
    assert weight_bytes(floats) - weight_bytes(model) == packed * (32 - 5) / 8


def test_a_model_with_adapters_is_not_quantised(llama):
    with pytest.raises(ValueError, match=r"quantise the model first, then add_lora\(\)"):
        quantize_model(add_lora(llama(**WIDE), rank=2))


def test_a_model_with_a_row_that_cannot_be_cut_stays_as_it_was(llama):
    model = llama(intermediate_size=40)
    with pytest.raises(ValueError, match="a row of 40"):
        quantize_model(model)
    assert not any(isinstance(module, Q4Linear) for module in model.modules())


# --- from a GGUF file

GGUF_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def permute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's ``permute`` of convert_hf_to_gguf.py."""
    out, inner = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, inner).swapaxes(1, 2).reshape(out, inner)


def write_gguf(path: Path, model: nn.Module, kinds: dict[str, GGMLQuantizationType] | None = None) -> Path:
    """Writes a Llama's linear layers as llama.cpp's converter does, Q4_1 unless ``kinds`` says otherwise."""
    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(model.config.num_hidden_layers)
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    for name in matching_linears(model, "all-linear"):
        _, _, number, _, ending = name.split(".")
        weight = model.get_submodule(name).weight.detach()
        weight = permute(weight, heads[ending]) if ending in heads else weight
        kind = (kinds or {}).get(ending, Q4_1)
        data = quants.quantize(weight.contiguous().numpy(), kind)
        writer.add_tensor(f"blk.{number}.{GGUF_NAMES[ending]}.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def dequantised(llama):
    """A Llama whose weights came out of 4-bit blocks."""
    return dequantize_model(quantize_model(llama(**WIDE)))


def test_a_model_gets_the_blocks_of_its_file_back(dequantised, ids, tmp_path):
    logits = dequantised(ids).logits
    packed = quantize_model_from_gguf(dequantised, write_gguf(tmp_path / "model.gguf", dequantised))
    assert sum(isinstance(module, Q4Linear) for module in packed.modules()) == 14
    torch.testing.assert_close(packed(ids).logits, logits, atol=1e-3, rtol=1e-3)


def test_layers_of_another_type_stay_float_and_are_named(dequantised, ids, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", dequantised, {"v_proj": Q8_0})
    with pytest.warns(UserWarning, match=r"2 linear layers are not Q4_1 .*v_proj': 'Q8_0'"):
        quantize_model_from_gguf(dequantised, path)
    assert isinstance(dequantised.model.layers[0].self_attn.v_proj, nn.Linear)
    assert isinstance(dequantised.model.layers[0].self_attn.q_proj, Q4Linear)


def test_a_file_without_q4_1_is_refused(dequantised, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", dequantised, dict.fromkeys(GGUF_NAMES, Q8_0))
    with pytest.raises(ValueError, match=r"no Q4_1 tensor for this model; quantize_model\(\) packs float weights"):
        quantize_model_from_gguf(dequantised, path)


def test_a_file_of_other_weights_is_refused(dequantised, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", dequantised)
    with torch.no_grad():
        dequantised.model.layers[1].mlp.up_proj.weight.add_(1)
    with pytest.raises(ValueError, match=r"layers.1.mlp.up_proj of this model is not what .*model\.gguf holds"):
        quantize_model_from_gguf(dequantised, path)
    assert not any(isinstance(module, Q4Linear) for module in dequantised.modules())


def test_a_file_of_a_shallower_model_is_refused(dequantised, llama, tmp_path):
    path = write_gguf(tmp_path / "model.gguf", dequantised)
    deeper = llama(**WIDE, num_hidden_layers=3)
    deeper.load_state_dict(dequantised.state_dict(), strict=False)
    with pytest.raises(ValueError, match=r"has no tensor for model\.layers\.2"):
        quantize_model_from_gguf(deeper, path)


@pytest.mark.parametrize("content", [None, b"", b"not a model at all, but some forty bytes of text"])
def test_a_file_that_is_no_gguf_is_named(content, dequantised, tmp_path):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.gguf cannot be read as a GGUF model"):
        quantize_model_from_gguf(dequantised, path)


def test_a_file_of_an_unknown_architecture_is_refused(dequantised, tmp_path):
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(str(path), "nonesuch")
    writer.add_block_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"model\.gguf is of the architecture 'nonesuch'.*update gguf"):
        quantize_model_from_gguf(dequantised, path)
    assert not any(isinstance(module, Q4Linear) for module in dequantised.modules())


def test_the_permutation_of_the_converter_is_undone():
    weight = torch.randn(64, 32)
    for heads in (1, 2, 4):
        assert torch.equal(_unpermute(permute(weight, heads), 64 // heads), weight)


def test_smollm2_has_the_same_logits_from_its_own_blocks():
    if not (cache_folder() / "smollm2-135m-float32").exists():
        pytest.skip("SmolLM2 is not in the cache; python -m llm_tutorial fetch fetches it")
    from llm_tutorial.models import gguf_path, load_model

    model = load_model("smollm2-135m")
    ids = torch.randint(0, 49152, (1, 12))
    before, floats = model(ids).logits, weight_bytes(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every linear layer is Q4_1
        quantize_model_from_gguf(model, gguf_path("smollm2-135m"))
    torch.testing.assert_close(model(ids).logits, before, atol=1e-4, rtol=1e-4)
    packed = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 576 * 1536)
    assert floats - weight_bytes(model) == packed * 27 // 8
    assert count_parameters(model).total == 134_515_008


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("first", ["quantised", "shortened"])
def test_a_packed_model_of_16_bits_comes_back_in_16_bits(first, dtype):
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 64))
    model = quantize_model(model).to(dtype) if first == "quantised" else quantize_model(model.to(dtype))
    x = torch.randn(3, 64, dtype=dtype)
    packed = model(x)
    assert packed.dtype == dtype
    assert {p.dtype for p in dequantize_model(model).parameters()} == {dtype}
    torch.testing.assert_close(model(x), packed, atol=4 * torch.finfo(dtype).eps, rtol=0)  # the bias is added apart
