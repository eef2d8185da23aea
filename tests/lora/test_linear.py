"""The layer: equal to PEFT's, in what it computes and in what it learns."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.lora import Linear as PeftLinear
from torch import nn

from llm_tutorial.lora.linear import LoRALinear


def pair(use_rslora=False, use_dora=False, bias=True, rank=3, alpha=5.0) -> tuple[LoRALinear, PeftLinear]:
    """Our layer and PEFT's around the same weight with the same random adapter."""
    base = nn.Linear(10, 7, bias=bias)
    config = LoraConfig(r=rank, lora_alpha=alpha, use_rslora=use_rslora, use_dora=use_dora)
    peft = PeftLinear(base, "default", config, r=rank, lora_alpha=alpha)
    ours = LoRALinear(base, rank, alpha, use_rslora=use_rslora, use_dora=use_dora)
    with torch.no_grad():
        nn.init.normal_(ours.lora_A)
        nn.init.normal_(ours.lora_B)
        peft.lora_A["default"].weight.copy_(ours.lora_A)
        peft.lora_B["default"].weight.copy_(ours.lora_B)
        if use_dora:
            ours.lora_magnitude.mul_(torch.rand(7) + 0.5)
            peft.lora_magnitude_vector["default"].weight.copy_(ours.lora_magnitude)
    return ours, peft


VARIANTS = [{}, {"bias": False}, {"use_rslora": True}, {"use_dora": True}, {"use_dora": True, "bias": False}]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_outputs_are_those_of_peft(options):
    ours, peft = pair(**options)
    x = torch.randn(4, 5, 10)
    torch.testing.assert_close(ours(x), peft(x))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_gradients_are_those_of_peft(options):
    ours, peft = pair(**options)
    x = torch.randn(4, 10)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours(mine).square().mean().backward()
    peft(theirs).square().mean().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    torch.testing.assert_close(ours.lora_A.grad, peft.lora_A["default"].weight.grad)
    torch.testing.assert_close(ours.lora_B.grad, peft.lora_B["default"].weight.grad)
    if ours.lora_magnitude is not None:
        torch.testing.assert_close(ours.lora_magnitude.grad, peft.lora_magnitude_vector["default"].weight.grad)
    assert ours.base.weight.grad is None


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_update_is_that_of_peft(options):
    ours, peft = pair(**options)
    torch.testing.assert_close(ours.delta_weight(), peft.get_delta_weight("default"))


def test_gradients_are_those_of_the_formula():
    layer, _ = pair(rank=3, alpha=6.0)
    x = torch.randn(9, 10)
    output = layer(x)
    g = torch.randn_like(output)
    output.backward(g)
    s = 2.0
    torch.testing.assert_close(layer.lora_B.grad, s * g.T @ x @ layer.lora_A.T)
    torch.testing.assert_close(layer.lora_A.grad, s * layer.lora_B.T @ g.T @ x)


def test_scaling_is_alpha_over_rank_or_its_root():
    base = nn.Linear(20, 20)
    assert LoRALinear(base, rank=16, alpha=8).scaling == 0.5
    assert LoRALinear(base, rank=16, alpha=8, use_rslora=True).scaling == 2.0
    assert LoRALinear(base, rank=16).scaling == 1.0


@pytest.mark.parametrize("use_dora", [False, True])
def test_the_first_output_is_that_of_the_pretrained_layer(use_dora):
    base = nn.Linear(10, 7)
    x = torch.randn(4, 10)
    torch.testing.assert_close(LoRALinear(base, 2, use_dora=use_dora)(x), base(x))


def test_the_first_gradient_reaches_b_and_not_a():
    layer = LoRALinear(nn.Linear(10, 7), 2)
    layer(torch.randn(4, 10)).sum().backward()
    assert layer.lora_B.grad.abs().min() > 0
    assert layer.lora_A.grad.abs().max() == 0


def test_a_starts_as_a_linear_layer_does():
    layer = LoRALinear(nn.Linear(400, 300), 64)
    bound = 1 / math.sqrt(400)
    assert layer.lora_A.abs().max() <= bound
    assert layer.lora_A.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_dropout_drops_inputs_of_the_adapter_only_and_keeps_the_mean():
    layer = LoRALinear(nn.Linear(4, 3), rank=3, dropout=0.25)
    nn.init.normal_(layer.lora_B)
    x = torch.ones(100_000, 4)
    update = (layer(x) - layer.base(x)).detach()
    expected = (x[:1] @ layer.delta_weight().T).detach()[0]
    torch.testing.assert_close(update.mean(0), expected, atol=0.02, rtol=0.02)
    kept = torch.tensor([1, 0, 1, 1.0]) / 0.75 @ layer.delta_weight().T
    share = torch.isclose(update, kept.detach(), atol=1e-5).all(-1).float().mean().item()
    assert share == pytest.approx(0.75**3 * 0.25, rel=0.05)
    assert torch.equal(layer.eval()(x[:1]), layer.eval()(x[:1]))


def test_an_adapter_put_into_an_evaluated_layer_drops_nothing():
    assert not LoRALinear(nn.Linear(4, 3).eval(), 1, dropout=0.5).dropout.training


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_merged_layer_gives_the_same_output(options):
    layer, _ = pair(**options)
    x = torch.randn(4, 10)
    before = layer(x)
    layer.merge()
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_unmerging_restores_every_bit(options):
    layer, _ = pair(**options)
    weight = layer.weight.clone()
    for _ in range(3):
        layer.merge()
        assert not torch.equal(layer.weight, weight)
        layer.unmerge()
    assert torch.equal(layer.weight, weight)


def test_merging_twice_and_unmerging_first_are_errors():
    layer = LoRALinear(nn.Linear(4, 4), 1)
    with pytest.raises(ValueError, match="not merged"):
        layer.unmerge()
    layer.merge()
    with pytest.raises(ValueError, match="merged already"):
        layer.merge()


def test_merging_leaves_an_embedding_tied_to_the_weight_alone():
    embedding, head = nn.Embedding(12, 6), nn.Linear(6, 12, bias=False)
    head.weight = embedding.weight
    before = embedding.weight.clone()
    layer = LoRALinear(head, 2)
    nn.init.normal_(layer.lora_B)
    layer.merge()
    assert torch.equal(embedding.weight, before)
    layer.unmerge()
    assert head.weight is embedding.weight


def test_the_adapter_stays_float32_beside_a_bfloat16_weight():
    for use_dora in (False, True):
        layer = LoRALinear(nn.Linear(10, 7).bfloat16(), 2, use_dora=use_dora)
        output = layer(torch.randn(3, 10).bfloat16())
        output.sum().backward()
        assert output.dtype == torch.bfloat16
        assert layer.lora_A.dtype == layer.lora_B.grad.dtype == torch.float32
        layer.merge()
        assert layer.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("rank", [0, -1, 8, 2.0, "2"])
def test_a_rank_out_of_range_is_refused(rank):
    with pytest.raises(ValueError, match=r"rank must be a whole number from 1 to 7.*7x10 weight; got"):
        LoRALinear(nn.Linear(10, 7), rank)


@pytest.mark.parametrize("alpha", [0, -1.0, math.nan, math.inf])
def test_an_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        LoRALinear(nn.Linear(10, 7), 2, alpha)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(ValueError, match="dropout must be"):
        LoRALinear(nn.Linear(10, 7), 2, dropout=dropout)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 12)] * 3),
    batch=st.lists(st.integers(1, 4), max_size=3),
    flags=st.tuples(*[st.booleans()] * 3),
    seed=st.integers(0, 2**31),
)
def test_a_layer_of_any_shape_is_one_linear_layer_with_its_merged_weight(sizes, batch, flags, seed):
    torch.manual_seed(seed)
    in_features, out_features, rank = sizes
    bias, use_rslora, use_dora = flags
    rank = min(rank, in_features, out_features)
    layer = LoRALinear(nn.Linear(in_features, out_features, bias=bias), rank, 2 * rank, 0.0, use_rslora, use_dora)
    nn.init.normal_(layer.lora_B)
    x = torch.randn(*batch, in_features)
    plain = nn.functional.linear(x, layer.merged_weight(), layer.base.bias)
    assert layer(x).shape == (*batch, out_features)
    torch.testing.assert_close(layer(x), plain, atol=1e-4, rtol=1e-4)
    assert torch.linalg.matrix_rank(layer.delta_weight()) <= rank


@pytest.mark.parametrize("bias", [True, False])
def test_dora_on_a_row_of_zeros_starts_as_the_pretrained_layer_and_learns(bias):
    base = nn.Linear(10, 7, bias=bias)
    base.weight.data[2] = 0
    layer = LoRALinear(base, 2, use_dora=True)
    x, target = torch.randn(20, 10), torch.randn(20, 7)
    torch.testing.assert_close(layer(x), base(x))
    optimizer = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=0.05)
    before = (layer(x) - target)[:, 2].square().mean()
    for _ in range(30):
        optimizer.zero_grad()
        (layer(x) - target).square().mean().backward()
        optimizer.step()
    assert (layer(x) - target)[:, 2].square().mean() < 0.95 * before
    torch.testing.assert_close(
        nn.functional.linear(x, layer.merged_weight(), base.bias), layer(x), atol=1e-5, rtol=1e-5
    )


def test_a_row_of_zeros_changes_no_other_row_of_dora():
    ours, peft = pair(use_dora=True)
    for layer in (ours, peft):  # they share the base
        layer.weight.data[2] = 0
    ours.lora_B.data[2] = peft.lora_B["default"].weight.data[2] = 0
    x, others = torch.randn(4, 10), [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(ours(x)[:, others], peft(x)[:, others])
    assert peft(x)[:, 2].isnan().all()  # zero over zero
    torch.testing.assert_close(ours(x)[:, 2], ours.base.bias[2].expand(4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_what_a_merged_layer_keeps_follows_to(dtype):
    layer, _ = pair()
    before = layer.weight.clone()
    layer.merge()
    layer.to(dtype)
    layer.unmerge()
    assert torch.equal(layer.weight, before.to(dtype))
    assert layer(torch.randn(3, 10, dtype=dtype)).dtype == dtype
