"""Fields and sizes read off a model are those that gradients and outputs have; what to look at twice is said."""

import re

import pytest
import torch
from torch import nn

from llm_tutorial.cnn.geometry import effective_field, inspect, kernel_of
from llm_tutorial.cnn.pooling import BlurPool

MODELS = {
    "plain": nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)),
    "strided": nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 2, 3, padding=1)),
    "dilated": nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding="same", dilation=3)),
    "pooled": nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, padding=1)),
    "averaged": nn.Sequential(nn.AvgPool2d(3, 2), nn.Conv2d(1, 2, (3, 1), padding=(1, 0)), nn.AvgPool2d(2)),
    "blurred": nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), BlurPool(4), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, padding=1)
    ),
    "nested": nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2))
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_field_is_the_footprint_of_the_gradient(name):
    torch.manual_seed(0)
    model = MODELS[name].eval()
    mass = effective_field(model, (1, 33, 33), inputs=256)
    seen = (mass > 0).nonzero()
    extent = tuple((seen.amax(0) - seen.amin(0) + 1).tolist())
    assert inspect(model, torch.zeros(1, 1, 33, 33)).layers[-1].receptive_field == extent


@pytest.mark.parametrize("name", MODELS)
def test_sizes_and_parameters_are_those_of_the_model(name):
    model = MODELS[name].eval()
    found = inspect(model, torch.zeros(2, 1, 33, 33))
    assert found.layers[-1].output == tuple(model(torch.zeros(2, 1, 33, 33)).shape[1:])
    assert sum(layer.parameters for layer in found.layers) == sum(p.numel() for p in model.parameters())


def test_multiplications_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip
    x = torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        model(x)
    assert 2 * sum(layer.multiplications for layer in inspect(model, x).layers) == counter.get_total_flops()


def test_signals_are_read_too():
    model = nn.Sequential(nn.Conv1d(8, 4, 3, dilation=2), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3))
    assert [layer.receptive_field for layer in inspect(model, torch.zeros(1, 8, 40)).layers] == [(5,), (6,), (10,)]


def test_everything_is_seen_after_a_global_pooling():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    found = inspect(model, torch.zeros(1, 1, 12, 12))
    assert [layer.receptive_field for layer in found.layers] == [(3, 3), (0, 0), (0, 0), (0, 0)]
    assert "all" in str(found.table())


@pytest.mark.parametrize(
    ("model", "size", "cue", "warning"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 1, stride=2)), 8, 0, "0: stride 2 over a kernel of 1 skips 1 of every 2 places"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, stride=2)), 8, 0, "0: the last 1 of 8 places are never seen (stride 2)"),
        (nn.Sequential(nn.MaxPool2d(2)), 7, 0, "0: the last 1 of 7 places are never seen (stride 2)"),
        (nn.Sequential(nn.Conv2d(1, 1, 5, stride=4, padding=2)), 16, 0, "0: 256 numbers become 16"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveMaxPool2d(1)), 8, 5, "a place before 1 sees 3 × 3, less than the cue of 5"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), 8, 5, "a place of the last layer sees 3 × 3, less than the cue of 5"),
    ],
)  # fmt: skip
def test_what_to_look_at_twice_is_said(model, size, cue, warning):
    assert warning in inspect(model, torch.zeros(1, 1, size, size), cue).warnings


@pytest.mark.parametrize(("stride", "padding", "size"), [(2, 1, 8), (2, 0, 9), (1, 0, 8), (3, 1, 10)])
def test_nothing_is_said_where_every_place_is_seen(stride, padding, size):
    model = nn.Conv2d(1, 16, 3, stride=stride, padding=padding)
    assert not inspect(nn.Sequential(model), torch.zeros(1, 1, size, size), cue=3).warnings
    x = torch.zeros(1, 1, size, size, requires_grad=True)
    nn.init.uniform_(model.weight)
    model(x).sum().backward()
    assert (x.grad > 0).all()  # every place counts


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inspect(model, torch.randn(4, 1, 8, 8))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_cannot_take_the_example_is_named_with_sizes_in_both_languages():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(100, 10))
    with pytest.raises(ValueError, match=r"layer '2' .* cannot take an input of \(144,\)") as caught:
        inspect(model, torch.zeros(1, 1, 8, 8))
    assert "接不了形状为 (144,) 的输入" in str(caught.value)
    with pytest.raises(ValueError, match=r"layer '0' .* cannot take an input of \(3, 8, 8\)"):
        inspect(model, torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 0, 8)])
def test_an_example_of_another_kind_is_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f"an example of shape {shape}")):
        inspect(nn.Conv2d(1, 1, 3), torch.zeros(shape))


def test_a_transposed_convolution_has_no_field_of_this_kind():
    with pytest.raises(ValueError, match="makes its output larger"):
        kernel_of(nn.ConvTranspose2d(1, 1, 2), 2)


def test_effective_field_of_a_linear_stack_is_the_size_of_its_gradient():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Conv2d(1, 1, 3, padding=1, bias=False))
    x = torch.zeros(1, 1, 7, 7, requires_grad=True)
    model(x)[0, 0, 3, 3].backward()
    wanted = x.grad[0, 0].abs() / x.grad.abs().sum()
    with torch.no_grad():
        torch.testing.assert_close(effective_field(model, (1, 7, 7), inputs=2), wanted)


def test_an_adaptive_pooling_to_several_places_does_not_see_everything():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(2))
    assert inspect(model, torch.zeros(1, 1, 12, 12)).layers[1].receptive_field != (0, 0)


def test_a_pooling_that_rounds_up_leaves_nothing_unseen():
    assert not inspect(nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), torch.zeros(1, 1, 7, 7)).warnings


def test_a_blur_multiplies():
    found = inspect(nn.Sequential(nn.Conv2d(1, 4, 1), BlurPool(4)), torch.zeros(1, 1, 8, 8))
    assert found.layers[1].multiplications == 4 * 4 * 4 * 9
