"""Adapters on disk: ours and PEFT's are the same thing."""

import copy
import json
import os
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from wraps import WRAPS

from llm_tutorial.lora.adapter import CONFIG, WEIGHTS, load_adapter, save_adapter
from llm_tutorial.lora.inject import add_lora, count_parameters, merge_lora, remove_lora

VARIANTS = [
    {},
    {"use_rslora": True},
    {"use_dora": True},
    {"use_dora": True, "use_rslora": True},
    {"modules_to_save": ["lm_head"]},
    {"modules_to_save": ["embed_tokens", "norm"]},
    {"dropout": 0.1},
    {"target_modules": ["q_proj", "down_proj"]},
    {"target_modules": r".*layers\.1\..*_proj"},
    {"target_modules": ["lm_head"]},
]


@torch.no_grad()
def difference(one, other, ids) -> float:
    return (one(ids).logits - other(ids).logits).abs().max().item()


@pytest.fixture
def adapted(llama, randomise, tmp_path):
    """A folder with an adapter of rank 2 for the tiny Llama."""
    return save_adapter(randomise(add_lora(llama(), rank=2, target_modules=["q_proj", "v_proj"])), tmp_path / "adapter")


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_an_adapter_of_ours_loads_in_peft(options, llama, ids, randomise, tmp_path):
    ours = randomise(add_lora(llama(), rank=2, alpha=3, **options)).eval()
    assert difference(ours, llama(), ids) > 0.01
    peft = PeftModel.from_pretrained(llama(), save_adapter(ours, tmp_path / "adapter"))
    assert difference(ours, peft, ids) < 1e-5


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_an_adapter_of_peft_loads_in_ours(options, llama, ids, randomise, tmp_path):
    options = {"target_modules": "all-linear", **options}
    options["lora_dropout"] = options.pop("dropout", 0.0)
    peft = randomise(get_peft_model(llama(), LoraConfig(r=2, lora_alpha=3, task_type="CAUSAL_LM", **options))).eval()
    peft.save_pretrained(tmp_path)
    assert difference(load_adapter(llama(), tmp_path), peft, ids) < 1e-5


def test_the_two_libraries_write_the_same_tensors(llama, tmp_path):
    save_adapter(add_lora(llama(), rank=2, use_dora=True, modules_to_save=["lm_head"]), tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=2, target_modules="all-linear", use_dora=True, modules_to_save=["lm_head"])
        get_peft_model(llama(), config).save_pretrained(tmp_path / "peft")
    ours, peft = (load_file(tmp_path / name / WEIGHTS) for name in ("ours", "peft"))
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in peft.items()}


def test_saving_and_loading_changes_no_bit(llama, ids, randomise, tmp_path):
    model = randomise(add_lora(llama(), rank=2, use_dora=True, modules_to_save=["lm_head"]))
    assert difference(load_adapter(llama(), save_adapter(model, tmp_path / "new")), model, ids) == 0


def test_a_float32_adapter_of_a_bfloat16_model_comes_back_bit_for_bit(llama, ids, randomise, tmp_path):
    model = randomise(add_lora(llama().bfloat16(), rank=2))
    loaded = load_adapter(llama().bfloat16(), save_adapter(model, tmp_path / "new"))
    assert difference(loaded, model, ids) == 0
    assert {p.dtype for name, p in loaded.named_parameters() if "lora_" in name} == {torch.float32}


def test_an_adapter_saved_in_half_precision_loads_as_float32(llama, ids, randomise, tmp_path):
    model = randomise(add_lora(llama(), rank=2))
    loaded = load_adapter(llama(), save_adapter(model, tmp_path / "half", torch.float16))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert 0 < difference(loaded, model, ids) < 0.05


def test_a_merged_model_saves_the_same_adapter(llama, randomise, tmp_path):
    model = randomise(add_lora(llama(), rank=2))
    save_adapter(model, tmp_path / "before")
    save_adapter(merge_lora(model), tmp_path / "after")
    assert (tmp_path / "before" / WEIGHTS).read_bytes() == (tmp_path / "after" / WEIGHTS).read_bytes()


def test_adapters_on_one_base_are_switched_by_loading(llama, ids, randomise, tmp_path):
    models = {
        "queries": randomise(add_lora(llama(), rank=2, target_modules=["q_proj"])),
        "all": randomise(add_lora(llama(), rank=3, modules_to_save=["lm_head"])),
    }
    for name, model in models.items():
        save_adapter(model, tmp_path / name)
    base = llama()
    for name in ("queries", "all", "queries"):
        load_adapter(base, tmp_path / name)
        assert difference(base, models[name], ids) == 0
    assert difference(remove_lora(base), llama(), ids) == 0


def test_a_merged_adapter_gives_way_to_the_next(adapted, llama, ids):
    base = merge_lora(load_adapter(llama(), adapted))
    assert difference(load_adapter(base, adapted), load_adapter(llama(), adapted), ids) == 0


def test_a_loaded_adapter_is_frozen_unless_it_is_to_be_trained(adapted, llama):
    assert count_parameters(load_adapter(llama(), adapted)).trained == 0
    assert count_parameters(load_adapter(llama(), adapted, trainable=True)).trained == 2 * (2 * 2 * 32 + 2 * (32 + 16))


def test_target_modules_are_as_short_as_they_can_be(llama, tmp_path):
    for targets, expected in ((["q_proj"], ["q_proj"]), (r".*0\.mlp\.up_proj", ["model.layers.0.mlp.up_proj"])):
        folder = save_adapter(add_lora(llama(), rank=2, target_modules=targets), tmp_path / targets[0])
        assert json.loads((folder / CONFIG).read_text())["target_modules"] == expected


def test_the_file_names_no_folder_of_this_machine(llama, tmp_path):
    model = llama()
    model.name_or_path = str(tmp_path)
    assert str(tmp_path) not in (save_adapter(add_lora(model, rank=2), tmp_path / "a") / CONFIG).read_text()


def test_saving_twice_replaces_and_leaves_other_files_alone(adapted, llama, ids):
    (adapted / "README.md").write_text("mine")
    model = add_lora(llama(), rank=5)
    save_adapter(model, adapted)
    assert sorted(os.listdir(adapted)) == ["README.md", CONFIG, WEIGHTS]
    assert difference(load_adapter(llama(), adapted), model, ids) == 0


@pytest.mark.parametrize("failing", ["save_file", "replace"])
def test_an_interrupted_save_leaves_nothing_half_written(failing, adapted, llama, monkeypatch):
    def fail(*_args, **_options):
        raise KeyboardInterrupt

    before = (adapted / WEIGHTS).read_bytes()
    target = "llm_tutorial.lora.adapter.save_file" if failing == "save_file" else "llm_tutorial.lora.adapter.os.replace"
    monkeypatch.setattr(target, fail)
    for folder in (adapted, adapted.parent / "new"):
        with pytest.raises(KeyboardInterrupt):
            save_adapter(add_lora(llama(), rank=7), folder)
    monkeypatch.undo()
    assert os.listdir(adapted.parent) == ["adapter"]
    assert (adapted / WEIGHTS).read_bytes() == before
    if failing == "replace":  # the worst moment: an old adapter is gone rather than mixed with the new one
        with pytest.raises(ValueError, match=r"has no adapter_config\.json"):
            load_adapter(llama(), adapted)


def test_a_model_without_an_adapter_cannot_be_saved(llama, tmp_path):
    with pytest.raises(ValueError, match="no adapter to save; add_lora"):
        save_adapter(llama(), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_layers_that_differ_cannot_be_saved(llama, tmp_path):
    model = add_lora(llama(), rank=2, target_modules=["q_proj"])
    next(layer for name, layer in model.named_modules() if name.endswith("q_proj")).alpha = 5
    with pytest.raises(ValueError, match="differ in rank, alpha"):
        save_adapter(model, tmp_path / "a")


def change(folder: Path, **values: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "IA3"}, "no LoRA adapter .peft_type='IA3'"),
        ({"r": None}, "r=None"),
        ({"r": 3}, r"for another model: .* has the shape \(2, 32\), this LlamaForCausalLM needs \(3, 32\)"),
        ({"lora_alpha": -1}, "alpha must be a positive number"),
        ({"lora_dropout": 1.5}, "dropout must be at least 0"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern={'q_proj': 4}, which LoRALinear does not have; load .* PEFT"),
        ({"bias": "all"}, "bias='all'"),
        ({"init_lora_weights": "pissa"}, "path_initial_model_for_weight_conversion"),
        ({"an_option_of_tomorrow": 1}, "an_option_of_tomorrow=1"),
        ({"use_dora": True}, "lacks .*lora_magnitude_vector; save or copy the adapter again"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_followed_is_refused(values, message, adapted, llama, ids):
    change(adapted, **values)
    model = llama()
    with pytest.raises(ValueError, match=message):
        load_adapter(model, adapted)
    assert difference(model, llama(), ids) == 0


def test_an_adapter_for_another_architecture_is_refused(adapted):
    with pytest.raises(ValueError, match=r"for another model: 4 of its 4 layers .* load the model it was trained on"):
        load_adapter(nn.Sequential(nn.Linear(4, 4)), adapted)


def test_an_adapter_for_a_wider_model_is_refused(adapted, llama):
    with pytest.raises(ValueError, match=r"another model: .* has the shape \(2, 32\), .* needs \(2, 64\)"):
        load_adapter(llama(hidden_size=64), adapted)


def test_an_adapter_for_a_shallower_model_is_not_taken_for_half_of_it(adapted, llama):
    with pytest.raises(ValueError, match="for another model: 2 of its 4 layers"):
        load_adapter(llama(num_hidden_layers=1), adapted)


def test_a_failed_load_keeps_the_former_adapter(adapted, llama, ids, randomise):
    model = randomise(add_lora(llama(), rank=1))
    before = model(ids).logits
    change(adapted, r=3)
    with pytest.raises(ValueError, match="another model"):
        load_adapter(model, adapted)
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(name, adapted, llama):
    (adapted / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}"):
        load_adapter(llama(), adapted)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_truncated_file_is_named(name, adapted, llama):
    content = (adapted / name).read_bytes()
    (adapted / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{name} is damaged .* save or copy the adapter again"):
        load_adapter(llama(), adapted)


def test_a_pickled_adapter_is_never_opened(adapted, llama):
    (adapted / WEIGHTS).rename(adapted / "adapter_model.bin")
    with pytest.raises(ValueError, match="is a pickle: save it with PEFT as safetensors"):
        load_adapter(llama(), adapted)


def test_a_tensor_without_a_place_is_refused(adapted, llama):
    tensors = load_file(adapted / WEIGHTS)
    save_file({**tensors, "base_model.model.extra": torch.ones(1)}, adapted / WEIGHTS)
    with pytest.raises(ValueError, match="holds extra, for which"):
        load_adapter(llama(), adapted)


def test_a_file_without_adapters_is_refused(adapted, llama):
    save_file({}, adapted / WEIGHTS)
    with pytest.raises(ValueError, match="for another model"):
        load_adapter(llama(), adapted)


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_an_adapter_of_a_wrapped_model_is_that_of_the_plain_one(wrap, llama, ids, randomise, tmp_path):
    model = randomise(add_lora(llama(), rank=2, modules_to_save=["lm_head"]))
    save_adapter(model, tmp_path / "plain")
    save_adapter(wrap(copy.deepcopy(model)), tmp_path / "wrapped")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "wrapped" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert difference(load_adapter(wrap(llama()), tmp_path / "plain"), model, ids) < 1e-6


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "_orig_mod."), ("", "module."), ("", "module._orig_mod."), ("_orig_mod.", ""), ("module.", "")],
)
def test_names_of_wrappers_in_a_file_are_read_past(before, after, llama, ids, randomise, tmp_path):
    model = randomise(add_lora(llama(), rank=2, modules_to_save=["lm_head"]))
    folder = save_adapter(model, tmp_path / "adapter")
    tensors = load_file(folder / WEIGHTS)
    prefix = "base_model.model."
    save_file({before + prefix + after + name.removeprefix(prefix): t for name, t in tensors.items()}, folder / WEIGHTS)
    assert difference(load_adapter(llama(), folder), model, ids) == 0


def test_an_adapter_that_peft_saved_of_a_compiled_model_loads(llama, ids, randomise, tmp_path):
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    peft = randomise(get_peft_model(torch.compile(llama(), backend="eager"), config)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.save_pretrained(tmp_path)
    assert difference(load_adapter(llama(), tmp_path), peft, ids) < 1e-5


LACKING = {"a layer": "layers.1.", "a kind of layer": "v_proj", "one": "layers.0.self_attn.q_proj"}


@pytest.mark.parametrize("part", LACKING.values(), ids=LACKING)
def test_a_file_that_lacks_layers_of_its_configuration_is_refused(part, adapted, llama, ids):
    tensors = load_file(adapted / WEIGHTS)
    save_file({name: tensor for name, tensor in tensors.items() if part not in name}, adapted / WEIGHTS)
    model = llama()
    with pytest.raises(ValueError, match=r"lacks \d of the layers that adapter_config.json names[\s\S]*缺少"):
        load_adapter(model, adapted)
    assert difference(model, llama(), ids) == 0


SELECTIONS = [
    {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    {"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": "layers"},
    {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0], "layers_pattern": ["blocks", "layers"]},
    {"target_modules": "all-linear", "exclude_modules": ["v_proj", "mlp.up_proj"]},
    {"target_modules": ["q_proj", "up_proj"], "exclude_modules": r".*\.0\..*"},
    {"target_modules": ["q_proj", "lm_head"], "modules_to_save": ["lm_head"]},
    {"target_modules": ["q_proj", "up_proj"], "modules_to_save": ["mlp"]},
    {"target_modules": r".*layers\.0\..*q_proj"},
]


@pytest.mark.parametrize("options", SELECTIONS, ids=str)
def test_what_peft_left_out_by_its_options_is_not_missed(options, llama, ids, randomise, tmp_path):
    peft = randomise(get_peft_model(llama(), LoraConfig(r=2, **options))).eval()
    peft.save_pretrained(tmp_path)
    assert difference(load_adapter(llama(), tmp_path), peft, ids) < 1e-5


def test_an_adapter_for_a_layer_that_is_never_called_leaves_the_model_as_it_was(tmp_path):
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        model = nn.TransformerEncoderLayer(16, 2, 32)
        folder = save_adapter(add_lora(model, 2, target_modules=["linear1"]), tmp_path / "adapter")
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    with pytest.raises(ValueError, match="fast path"):
        load_adapter(model, folder)
    assert count_parameters(model).trained > 0
