"""The block against Transformers' own models, and what breaks when one choice is taken the wrong way."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from llm_tutorial.state_dicts import renamed
from llm_tutorial.transformer import names
from llm_tutorial.transformer.block import Block, BlockConfig, Transformer, readable, rotate
from llm_tutorial.transformer.names import block_config, own_copy

SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 48}


@pytest.fixture(autouse=True)
def no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def shaken(model):  # biases are born as zeros, norms as ones: a swap would not show
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def bert():
    return shaken(BertModel(BertConfig(**SIZES, num_attention_heads=4, max_position_embeddings=20)))


def llama():
    return shaken(
        LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True))
    )


def padded(side):
    ids, mask = torch.randint(60, (2, 7)), torch.ones(2, 7, dtype=torch.long)
    mask[1, :3] = 0
    return ids, mask if side == "left" else mask.flip(1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_bert_with_padding_gives_the_librarys_hidden_states(side):
    model, (ids, mask) = bert(), padded(side)
    ours = own_copy(model)(ids, mask)
    theirs = model(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_llama_with_padding_gives_the_librarys_logits(side):
    model, (ids, mask) = llama(), padded(side)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    own = own_copy(model)
    ours = own.logits(own(ids, mask, places))
    theirs = model(ids, attention_mask=mask, position_ids=places).logits
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("field", ["causal", "norm_first", "base", "epsilon"])
def test_one_choice_taken_wrongly_gives_other_logits(field):
    model, (ids, _) = llama(), padded("left")
    right = own_copy(model)
    old = getattr(right.config, field)
    wrong = Transformer(replace(right.config, **{field: not old if isinstance(old, bool) else 30 * old + 0.1}))
    wrong.load_state_dict(right.state_dict(), strict=field != "norm_first")
    assert not torch.allclose(wrong(ids), right(ids), atol=1e-2)


@pytest.mark.parametrize("field", ["rms", "gated", "rotary", "bias"])
def test_a_choice_that_has_tensors_of_its_own_does_not_load_the_other_ones(field):
    right = own_copy(llama())
    wrong = Transformer(replace(right.config, **{field: not getattr(right.config, field)}))
    with pytest.raises(RuntimeError, match=r"Missing|Unexpected"):
        wrong.load_state_dict(right.state_dict())


def test_a_map_that_swaps_keys_and_queries_loads_and_is_wrong():
    model, (ids, _) = bert(), padded("left")
    swapped = renamed(model.state_dict(), names.BERT)
    for layer in range(2):
        query, key = (f"blocks.{layer}.attention.{part}.weight" for part in ("query", "key"))
        swapped[query], swapped[key] = swapped[key], swapped[query]
    own = Transformer(block_config(model.config)).eval()
    own.load_state_dict(swapped)
    assert not torch.allclose(own(ids), model(ids).last_hidden_state, atol=1e-3)


def test_a_tensor_left_over_is_an_error():
    model = bert()
    state = renamed(model.state_dict(), names.BERT) | {"one.more": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r"one\.more"):
        Transformer(block_config(model.config)).load_state_dict(state)


def test_causal_tokens_do_not_see_the_future_and_others_do():
    ids = torch.randint(60, (1, 6))
    changed = ids.clone()
    changed[0, -1] = (ids[0, -1] + 1) % 60
    decoder, encoder = own_copy(llama()), own_copy(bert())
    torch.testing.assert_close(decoder(ids)[:, :-1], decoder(changed)[:, :-1])
    assert not torch.allclose(encoder(ids)[:, :-1], encoder(changed)[:, :-1], atol=1e-4)


def test_rotary_scores_depend_on_the_distance_alone():
    q, k = torch.randn(2, 1, 3, 5, 8)
    near, far = torch.arange(5)[None], torch.arange(40, 45)[None]
    scores = [rotate(q, places, 1e4) @ rotate(k, places, 1e4).mT for places in (near, far)]
    torch.testing.assert_close(*scores, atol=1e-4, rtol=0)
    assert not torch.allclose(scores[0], q @ k.mT, atol=1e-2)


def test_queries_and_keys_turn_as_in_transformers():
    config = LlamaConfig(**SIZES, num_attention_heads=4)
    q, k = torch.randn(2, 1, 4, 5, 6)
    places = torch.arange(3, 8)[None]
    cos, sin = LlamaRotaryEmbedding(config)(q, places)
    theirs = apply_rotary_pos_emb(q, k, cos, sin)
    base = config.rope_parameters["rope_theta"]
    torch.testing.assert_close((rotate(q, places, base), rotate(k, places, base)), theirs)


def test_every_row_of_a_mask_reads_something():
    mask = readable(torch.zeros(1, 4), torch.tensor([[0, 0, 1, 1]]), causal=True)
    assert mask.any(-1).all()
    assert not mask[0, 0, 3, :2].any()


def test_a_row_of_padding_gives_no_nan():
    model = own_copy(llama())
    assert model(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4)).isfinite().all()


@pytest.mark.parametrize(("gated", "groups"), [(True, 1), (True, 4), (False, 2)])
def test_the_weights_of_a_block_are_as_many_as_the_formula_says(gated, groups):
    config = BlockConfig(10, 16, 1, 4, groups, 24, causal=True, norm_first=True, gated=gated)
    matrices = sum(p.numel() for p in Block(config).parameters() if p.dim() == 2)
    assert matrices == 2 * 16**2 * (1 + groups / 4) + (3 if gated else 2) * 16 * 24


def test_a_text_longer_than_the_positions_is_refused_in_both_languages():
    with pytest.raises(ValueError, match=r"cut the text\n.*请截断文本"):
        own_copy(bert())(torch.zeros(1, 21, dtype=torch.long))


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(),
        LlamaConfig(tie_word_embeddings=False),
        BertConfig(hidden_act="relu"),
        BertConfig(is_decoder=True),
        LlamaConfig(
            tie_word_embeddings=True, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
        ),
    ],
)
def test_what_the_block_cannot_be_is_refused_in_both_languages(config):
    with pytest.raises(ValueError, match=r"the block reads.*\n这个块能读"):
        block_config(config)
