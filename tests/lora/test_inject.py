"""Adapters put into models by name, counted, merged and taken out."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from wraps import WRAPS

from llm_tutorial.lora.inject import (
    add_lora,
    count_parameters,
    lora_layers,
    matching_linears,
    merge_and_unload,
    merge_lora,
    remove_lora,
    saved_modules,
    unmerge_lora,
)
from llm_tutorial.lora.linear import LoRALinear


def peft_names(model: nn.Module, **options: object) -> list[str]:
    modules = get_peft_model(model, LoraConfig(r=1, **options)).base_model.model.named_modules()
    return [name for name, module in modules if hasattr(module, "lora_A")]


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"], ["self_attn.o_proj"], r".*\.1\.mlp\..*_proj"])
def test_target_modules_mean_what_they_mean_in_peft(targets, llama):
    assert matching_linears(llama(), targets) == peft_names(llama(), target_modules=targets)


def test_all_linear_leaves_out_the_output_head(llama):
    assert len(matching_linears(llama(), "all-linear")) == 2 * 7
    assert "lm_head" not in matching_linears(llama(), "all-linear")


def test_an_ending_is_a_whole_name():
    model = nn.ModuleDict({"proj": nn.Linear(2, 2), "q_proj": nn.Linear(2, 2)})
    assert matching_linears(model, ["proj"]) == ["proj"]


def test_a_module_named_base_is_like_any_other():
    model = nn.ModuleDict({"outer": nn.ModuleDict({"base_model": nn.Linear(2, 2), "base": nn.Linear(2, 2)})})
    assert matching_linears(model, "all-linear") == ["outer.base_model", "outer.base"]


def test_names_are_the_same_after_injection(llama):
    before = matching_linears(llama(), "all-linear")
    assert matching_linears(add_lora(llama(), 2), "all-linear") == before


def test_a_pattern_that_matches_nothing_names_what_there_is(llama):
    model = llama()
    with pytest.raises(ValueError, match=r"'query'.*matches no linear layer; their names end in \[.*'q_proj'"):
        add_lora(model, 2, target_modules=["query"])
    assert not list(lora_layers(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("targets", ["all-linear", ["c_attn"]])
def test_the_transposed_layers_of_gpt2_are_refused_before_anything_is_frozen(targets):
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, bos_token_id=0, eos_token_id=0))
    with pytest.raises(ValueError, match="matches no linear layer"):  # Conv1D keeps its weight as (in, out)
        add_lora(model, 2, target_modules=targets)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_only_the_adapter_is_trained(llama):
    model = add_lora(llama(), rank=2, target_modules=["q_proj"], use_dora=True)
    trained = {name.rpartition(".")[2] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"lora_A", "lora_B", "lora_magnitude"}


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}], ids=str)
def test_parameters_are_counted_as_peft_counts_them(options, llama):
    count = count_parameters(add_lora(llama(), rank=2, **options))
    peft = get_peft_model(llama(), LoraConfig(r=2, target_modules="all-linear", **options))
    trained, total = peft.get_nb_trainable_parameters()
    assert count.trained == trained
    assert count.percent == pytest.approx(100 * count.trained / count.total)
    if "modules_to_save" not in options:  # PEFT counts the head and its copy
        assert count.total == total


def test_trained_parameters_are_rank_times_the_sum_of_the_sides(llama):
    model = llama()
    sides = sum(
        model.get_submodule(n).in_features + model.get_submodule(n).out_features
        for n in matching_linears(model, "all-linear")
    )
    assert [count_parameters(add_lora(llama(), rank)).trained for rank in (1, 3)] == [sides, 3 * sides]


def test_a_second_adapter_is_refused(llama):
    with pytest.raises(ValueError, match="has adapters already; remove_lora"):
        add_lora(add_lora(llama(), 2), 2)


def test_a_rank_too_high_for_one_layer_leaves_the_model_as_it_was(llama):
    model = llama()
    with pytest.raises(ValueError, match=r"layers\.0\.self_attn\.k_proj: rank must be a whole number from 1 to 16"):
        add_lora(model, 17)  # q_proj, which comes first, is large enough
    assert not list(lora_layers(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_checking_draws_no_random_numbers():
    layer = nn.Linear(8, 8)
    torch.manual_seed(5)
    alone = LoRALinear(layer, rank=2).lora_A
    torch.manual_seed(5)
    assert torch.equal(add_lora(nn.Sequential(layer), rank=2)[0].lora_A, alone)


def test_merging_and_unmerging_a_model(llama, ids, randomise):
    model = randomise(add_lora(llama(), rank=2))
    before = model(ids).logits
    torch.testing.assert_close(merge_lora(model)(ids).logits, before, atol=1e-5, rtol=1e-5)
    assert torch.equal(unmerge_lora(model)(ids).logits, before)


def test_an_unloaded_model_is_a_plain_one_with_the_same_output(llama, ids, randomise):
    model = randomise(add_lora(llama(), rank=2, modules_to_save=["norm"]))
    before = model(ids).logits
    plain = merge_and_unload(model)
    assert not any(isinstance(module, LoRALinear) for module in plain.modules())
    assert plain.state_dict().keys() == llama().state_dict().keys()
    torch.testing.assert_close(plain(ids).logits, before, atol=1e-5, rtol=1e-5)
    assert not list(lora_layers(remove_lora(plain)))  # nothing is left to take out
    torch.testing.assert_close(plain(ids).logits, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("merged", [False, True])
def test_removing_gives_the_pretrained_model_back(merged, llama, ids, randomise):
    model = randomise(add_lora(llama(), rank=2, modules_to_save=["lm_head"]))
    if merged:
        merge_lora(model)
    assert torch.equal(remove_lora(model)(ids).logits, llama()(ids).logits)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_head_trained_in_full_leaves_the_embedding_it_was_tied_to(llama):
    model = add_lora(llama(), rank=2, modules_to_save=["lm_head"])
    assert model.lm_head.weight.requires_grad
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert not model.model.embed_tokens.weight.requires_grad


def test_a_module_to_save_gets_no_adapter():
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "score": nn.Linear(4, 2)})
    add_lora(model, rank=2, modules_to_save=["score"])
    assert [name for name, _ in lora_layers(model)] == ["body"]


def test_an_adapter_inside_a_module_to_save_is_refused(llama):
    with pytest.raises(ValueError, match="cannot have an adapter inside"):
        add_lora(llama(), 2, modules_to_save=["mlp"])


def test_a_module_to_save_that_is_absent_leaves_the_model_as_it_was(llama):
    model = llama()
    with pytest.raises(ValueError, match="modules_to_save='score' matches no module"):
        add_lora(model, 2, modules_to_save=["score"])
    assert not list(lora_layers(model))


def test_a_copy_of_an_adapted_model_is_independent(llama, ids, randomise):
    model = randomise(add_lora(llama(), rank=2, modules_to_save=["lm_head"]))
    before = model(ids).logits
    remove_lora(randomise(copy.deepcopy(model)))
    assert torch.equal(model(ids).logits, before)


def test_modules_trained_in_full_give_way_to_the_pretrained_ones_where_the_model_has_gone(llama, ids):
    model = add_lora(llama(), 2, modules_to_save=["lm_head", "norm"]).double()
    remove_lora(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    torch.testing.assert_close(model(ids).logits, llama()(ids).logits.double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_names_are_the_same_in_a_wrapped_model(wrap, llama, ids):
    model, pattern = wrap(llama()), r"model\.layers\.\d\.self_attn\.q_proj"
    assert matching_linears(model, "all-linear") == matching_linears(llama(), "all-linear")
    assert add_lora(model, 2, target_modules=pattern, modules_to_save=["model.norm"]) is model
    assert [name for name, _ in lora_layers(model)] == [f"model.layers.{n}.self_attn.q_proj" for n in range(2)]
    assert [name for name, _ in saved_modules(model)] == ["model.norm"]
    for _, layer in lora_layers(model):
        nn.init.normal_(layer.lora_B, std=0.3)
    with torch.no_grad():
        adapted = model(ids).logits
        assert not torch.allclose(adapted, llama()(ids).logits, atol=1e-3)
        torch.testing.assert_close(merge_and_unload(copy.deepcopy(model))(ids).logits, adapted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(remove_lora(model)(ids).logits, llama()(ids).logits)


def test_an_attention_that_never_calls_its_layer_is_refused_and_stays_as_it_was():
    model = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
    for targets in ("all-linear", ["out_proj"], ["self_attn.out_proj", "linear1"]):
        with pytest.raises(ValueError, match=r"never calls its layer 'self_attn\.out_proj'[\s\S]*从不调用"):
            add_lora(model, 2, target_modules=targets)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not list(lora_layers(model))
    assert len(list(lora_layers(add_lora(model, 2, target_modules=["linear1", "linear2"])))) == 2


def test_a_layer_that_a_fast_path_passes_over_is_refused_unless_that_is_off():
    model, x = (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1).eval(),
        torch.ones(1, 3, 16),
    )
    with pytest.raises(ValueError, match=r"fast path[\s\S]*set_fastpath_enabled\(False\)[\s\S]*快速路径"):
        add_lora(model, 2, target_modules=["linear1"])
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        plain = model(x)
        add_lora(model, 2, target_modules=["linear1"])
        nn.init.normal_(model.layers[0].linear1.lora_B)
        with torch.no_grad():
            assert not torch.allclose(model(x), plain)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
