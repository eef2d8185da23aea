"""PiSSA and LoRA+: equal to PEFT's."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from llm_tutorial.lora.adapter import load_adapter, save_adapter
from llm_tutorial.lora.inject import add_lora, lora_layers, merge_lora, remove_lora
from llm_tutorial.lora.variants import lora_plus_groups, pissa_init


def peft_pissa(model: nn.Module, **options: object) -> nn.Module:
    return get_peft_model(
        model, LoraConfig(r=2, lora_alpha=3, target_modules="all-linear", init_lora_weights="pissa", **options)
    )


def ours_pissa(model: nn.Module, **options: object) -> nn.Module:
    return pissa_init(add_lora(model, rank=2, alpha=3, **options))


def train(model: nn.Module, ids: torch.Tensor, steps: int = 3) -> nn.Module:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("use_rslora", [False, True])
def test_pissa_starts_where_peft_starts_up_to_sign(use_rslora, llama):
    ours, peft = (make(llama(), use_rslora=use_rslora) for make in (ours_pissa, peft_pissa))
    for name, layer in lora_layers(ours):
        theirs = peft.base_model.model.get_submodule(name)
        A, B = (getattr(theirs, f"lora_{side}")["default"].weight for side in "AB")
        torch.testing.assert_close(layer.lora_A.abs(), A.abs(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer.lora_B.abs(), B.abs(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer.lora_B @ layer.lora_A, B @ A, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer.base.weight, theirs.base_layer.weight, atol=1e-5, rtol=1e-4)


def test_pissa_trains_as_in_peft(llama, ids):
    ours, peft = train(ours_pissa(llama()), ids), train(peft_pissa(llama()), ids)
    assert (ours(ids).logits - llama()(ids).logits).abs().max() > 1e-3
    torch.testing.assert_close(ours(ids).logits, peft(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=str)
def test_pissa_starts_at_the_pretrained_output(options, llama, ids):
    torch.testing.assert_close(ours_pissa(llama(), **options)(ids).logits, llama()(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=str)
def test_a_trained_pissa_adapter_is_saved_as_an_ordinary_one_of_twice_the_rank(options, llama, ids, tmp_path):
    model = train(ours_pissa(llama(), **options), ids)
    folder = save_adapter(model, tmp_path / "pissa")
    for loaded in (load_adapter(llama(), folder), PeftModel.from_pretrained(llama(), folder)):
        torch.testing.assert_close(loaded(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-4)


def test_removing_a_pissa_adapter_restores_the_pretrained_model(llama, ids):
    for change in (lambda model: model, merge_lora):
        model = remove_lora(change(ours_pissa(llama())))
        assert torch.equal(model(ids).logits, llama()(ids).logits)


def test_the_randomised_decomposition_takes_out_nearly_as_much(llama):
    exact, fast = ours_pissa(llama()), pissa_init(add_lora(llama(), rank=2, alpha=3), niter=8)
    for (_, one), (_, other) in zip(lora_layers(exact), lora_layers(fast), strict=True):
        assert one.base.weight.norm() < other.base.weight.norm() < 1.01 * one.base.weight.norm()


def test_pissa_needs_a_fresh_adapter(llama):
    with pytest.raises(ValueError, match="no adapter to initialise; add_lora"):
        pissa_init(llama())
    for model in (ours_pissa(llama()), merge_lora(add_lora(llama(), rank=2))):
        with pytest.raises(ValueError, match="fresh adapter"):
            pissa_init(model)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head", "model.norm"]}], ids=str)
def test_lora_plus_groups_are_those_of_peft(options, llama):
    peft = get_peft_model(llama(), LoraConfig(r=2, target_modules="all-linear", **options))
    theirs = create_loraplus_optimizer(peft, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8).param_groups
    ours = torch.optim.AdamW(lora_plus_groups(add_lora(llama(), rank=2, **options), lr=1e-3, ratio=8)).param_groups
    shapes = [
        {
            lr: sorted(tuple(p.shape) for group in groups if group["lr"] == lr for p in group["params"])
            for lr in (1e-3, 8e-3)
        }
        for groups in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    assert sum(map(len, shapes[0].values())) == sum(len(group["params"]) for group in theirs)


def test_a_ratio_of_one_is_plain_lora(llama, ids):
    losses = []
    for grouped in (False, True):
        torch.manual_seed(3)
        model = add_lora(llama(), rank=2)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(lora_plus_groups(model, 1e-2, ratio=1) if grouped else trained, lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("lr", "ratio", "message"), [(0, 16, "lr must be"), (1e-3, 0.5, "ratio must be at least 1")])
def test_learning_rates_out_of_range_are_refused(lr, ratio, message, llama):
    with pytest.raises(ValueError, match=message):
        lora_plus_groups(add_lora(llama(), rank=2), lr, ratio)


def test_groups_of_a_frozen_model_are_refused(llama):
    with pytest.raises(ValueError, match="trains nothing"):
        lora_plus_groups(llama().requires_grad_(False), 1e-3)


def test_what_pissa_keeps_follows_to(tmp_path):
    model = nn.Sequential(nn.Linear(12, 8))
    weight = model[0].weight.clone()
    pissa_init(add_lora(model, rank=2)).double()
    assert {part.dtype for part in model[0].start} == {torch.float64}
    save_adapter(model, tmp_path / "adapter")
    assert torch.equal(remove_lora(model)[0].weight, weight.double())
