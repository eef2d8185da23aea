"""The KV cache against passes without one and against Transformers, and what breaks when it is used wrongly."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from llm_tutorial.models import load_model
from llm_tutorial.transformer.block import BlockConfig, Transformer
from llm_tutorial.transformer.cache import Cache, advance, cache_bytes
from llm_tutorial.transformer.names import own_copy

SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 48}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture(autouse=True)
def no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture
def llama():
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS, tie_word_embeddings=True)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def in_parts(model, ids, lengths, mask=None):
    cache, parts = Cache(model.config.layers), []
    for new in lengths:
        start = len(cache)
        part = None if mask is None else mask[:, : start + new]
        parts.append(advance(model, ids[:, start : start + new], cache, part))
    return torch.cat(parts, 1), cache


@pytest.mark.parametrize("lengths", [[9], [1] * 9, [4, 1, 1, 3], [1, 8]])
def test_any_division_of_a_text_gives_the_same_states(llama, lengths):
    model, ids = own_copy(llama), torch.randint(60, (2, 9))
    states, cache = in_parts(model, ids, lengths)
    torch.testing.assert_close(states, model(ids), atol=1e-5, rtol=0)
    assert len(cache) == 9


def test_keys_values_and_logits_are_those_of_transformers(llama):
    model, ids, theirs = own_copy(llama), torch.randint(60, (2, 7)), DynamicCache(config=llama.config)
    states, cache = in_parts(model, ids, [4, 1, 2])
    llama(ids[:, :5], past_key_values=theirs)
    logits = llama(ids[:, 5:], past_key_values=theirs).logits
    torch.testing.assert_close(model.logits(states[:, 5:]), logits, atol=1e-4, rtol=1e-5)
    for keys, values, layer in zip(cache.keys, cache.values, theirs.layers, strict=True):
        torch.testing.assert_close((keys, values), (layer.keys, layer.values), atol=1e-5, rtol=0)


def test_texts_padded_on_the_left_are_read_as_alone(llama):
    model, ids, mask = own_copy(llama), torch.randint(60, (2, 8)), torch.ones(2, 8, dtype=torch.long)
    mask[1, :3] = 0
    states, _ = in_parts(model, ids, [5, 1, 2], mask)
    torch.testing.assert_close(states[1, 3:], model(ids[1:, 3:])[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(states[0], model(ids[:1])[0], atol=1e-5, rtol=0)
    wrong, _ = in_parts(model, ids, [5, 1, 2])
    assert not torch.allclose(wrong[1, 3:], states[1, 3:], atol=1e-2)


def test_a_cropped_cache_goes_on_as_if_the_rest_had_not_been(llama):
    model, ids = own_copy(llama), torch.randint(60, (1, 8))
    _, cache = in_parts(model, ids, [6])
    cache.crop(4)
    other = torch.randint(60, (1, 3))
    states = advance(model, other, cache)
    wanted = model(torch.cat([ids[:, :4], other], 1))[:, 4:]
    torch.testing.assert_close(states, wanted, atol=1e-5, rtol=0)


def test_rejected_tokens_that_stay_spoil_what_follows(llama):
    model, ids = own_copy(llama), torch.randint(60, (1, 8))
    _, cache = in_parts(model, ids, [6])  # and no crop
    wanted = model(torch.cat([ids[:, :4], ids[:, 6:]], 1))[:, 4:]
    assert not torch.allclose(advance(model, ids[:, 6:], cache), wanted, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_formula_counts_what_is_held(llama, dtype):
    model, theirs, ids = own_copy(llama).to(dtype), DynamicCache(config=llama.config), torch.randint(60, (3, 7))
    _, cache = in_parts(model, ids, [7])
    llama.to(dtype)(ids, past_key_values=theirs)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in theirs.layers)
    assert cache.nbytes == held == cache_bytes(llama.config, tokens=7, batch=3, number_bytes=dtype.itemsize)


def test_a_cache_in_bfloat16_stays_near_float32(llama):
    ids, full = torch.randint(60, (1, 9)), own_copy(llama)
    half, _ = in_parts(own_copy(llama).bfloat16(), ids, [5, 1, 1, 2])
    assert half.dtype == torch.bfloat16
    scale = full(ids).abs().max()
    assert (half.float() - full(ids)).abs().max() / scale < 0.1


def test_smollm2_keeps_45_kibibytes_a_token_in_float32():
    config = load_model().config
    assert cache_bytes(config, tokens=1, number_bytes=4) == 45 * 1024
    full = SimpleNamespace(num_hidden_layers=30, num_attention_heads=9, hidden_size=576, num_key_value_heads=None)
    assert cache_bytes(full, tokens=1, number_bytes=4) == 3 * 45 * 1024  # were all heads kept


def test_a_cache_of_another_batch_is_refused_in_both_languages(llama):
    model = own_copy(llama)
    _, cache = in_parts(model, torch.randint(60, (2, 4)), [4])
    with pytest.raises(ValueError, match=r"batch of 2.*\n.*2 条"):
        advance(model, torch.randint(60, (3, 1)), cache)


def test_a_mask_of_the_new_tokens_alone_is_refused(llama):
    model = own_copy(llama)
    _, cache = in_parts(model, torch.randint(60, (1, 4)), [4])
    with pytest.raises(ValueError, match=r"the mask is \(1, 1\).*\n.*掩码"):
        advance(model, torch.randint(60, (1, 1)), cache, torch.ones(1, 1))


@pytest.mark.parametrize("length", [-1, 5])
def test_more_than_there_is_cannot_be_kept(llama, length):
    _, cache = in_parts(own_copy(llama), torch.randint(60, (1, 4)), [4])
    with pytest.raises(ValueError, match=r"cannot keep.*\n.*留不下"):
        cache.crop(length)


def test_an_encoder_has_no_cache():
    encoder = Transformer(BlockConfig(10, 16, 1, 2, 2, 24, causal=False, norm_first=False))
    with pytest.raises(ValueError, match=r"causal decoder.*\n.*因果解码器"):
        advance(encoder, torch.tensor([[1]]), Cache(1))


def test_a_negative_number_of_tokens_has_no_bytes():
    with pytest.raises(ValueError, match=r"negative.*\n.*负数"):
        cache_bytes(LlamaConfig(), tokens=-1)
