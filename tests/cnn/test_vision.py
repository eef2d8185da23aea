"""The page `vision`: networks, EfficientNet-Lite0, Grad-CAM and filters do what they say, and refuse what cannot be."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.efficientnet import (
    InvertedResidual,
    SamePad,
    class_names,
    cropped,
    efficientnet_lite,
    load_efficientnet,
    prepared,
    published_weights,
)
from llm_tutorial.cnn.filters import feature_maps, kernel_pictures, strongest
from llm_tutorial.cnn.geometry import effective_field, inspect
from llm_tutorial.cnn.gradcam import grad_cam, layer_of, occlusion
from llm_tutorial.cnn.resnet import ResidualBlock, initialise, lenet, norm_of, small_resnet
from llm_tutorial.cnn.shortcut import PLACE, marked
from llm_tutorial.cnn.trained import trained_resnet
from llm_tutorial.data.photographs import NAMES, photograph


@pytest.fixture(scope="module")
def lite():
    return load_efficientnet()


def said(error):
    """Both halves of a bilingual message."""
    english, chinese = str(error.value).split("\n", 1)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    return english


def test_a_shortcut_has_no_weights():
    counts = {sum(p.numel() for p in small_resnet(residual=way).parameters()) for way in (True, False)}
    assert len(counts) == 1


def test_a_block_without_branch_passes_its_input_on():
    torch.manual_seed(0)
    block = ResidualBlock(4, 6, stride=2, norm="none").eval()
    for layer in (block.conv1, block.conv2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.rand(2, 4, 9, 9)
    out = block(x)
    assert torch.equal(out[:, :4], F.avg_pool2d(x, 2, ceil_mode=True))
    assert not out[:, 4:].any()


def test_kaiming_keeps_the_size_of_signals_and_the_default_shrinks_them():
    torch.manual_seed(0)
    factors = {}
    for start in ("kaiming", "default"):
        x = torch.randn(8, 64, 12, 12).relu()
        before = x.square().mean()
        layer = nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular")
        initialise(layer, start)
        nn.init.zeros_(layer.bias)
        factors[start] = float(layer(x).relu().square().mean().detach() / before)
    assert factors["kaiming"] == pytest.approx(1, rel=0.2)
    assert factors["default"] == pytest.approx(1 / 6, rel=0.2)


@pytest.mark.parametrize("call", [lambda: norm_of("layer", 4), lambda: initialise(lenet(), "xavier")])
def test_an_unknown_choice_names_those_there_are(call):
    with pytest.raises(ValueError, match="there are") as error:
        call()
    said(error)


@pytest.mark.parametrize("residual", [True, False])
def test_inspect_reads_branches_as_the_gradient_does(residual):
    torch.manual_seed(0)
    blocks = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), ResidualBlock(4, 4, residual=residual), ResidualBlock(4, 8, 2)
    )
    mass = effective_field(blocks.eval(), (1, 41, 41), inputs=128)
    seen = (mass > 0).nonzero()
    extent = tuple((seen.amax(0) - seen.amin(0) + 1).tolist())
    assert inspect(blocks, torch.zeros(1, 1, 41, 41)).layers[-1].receptive_field == extent


class Functional(nn.Module):
    """What readers write: one ReLU used again, pooling and mean as functions, a sum, a concatenation."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.out = nn.ReLU(inplace=True), nn.Linear(16, 2)

    def forward(self, x):
        x = F.max_pool2d(self.relu(self.one(x)), 2)
        x = torch.cat([x, self.relu(self.two(x))], 1)
        return self.out(x.mean((2, 3)))


def test_inspect_reads_functions_too():
    model = Functional()
    found = inspect(model, torch.zeros(1, 3, 16, 16), cue=12)
    fields = {layer.name: layer.receptive_field for layer in found.layers}
    assert fields == {
        "one": (3, 3), "relu": (3, 3), "(max_pool2d)": (4, 4), "two": (8, 8), "relu, 2": (8, 8), "out": (0, 0),
    }  # fmt: skip
    assert sum(layer.parameters for layer in found.layers) == sum(p.numel() for p in model.parameters())
    assert found.warnings == ["a place before mean sees 8 × 8, less than the cue of 12"]


def test_inspect_counts_a_shared_layer_once_and_leaves_the_model_as_it_was():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    model = nn.Sequential(layer, nn.ReLU(), layer).train()
    found = inspect(model, torch.zeros(1, 4, 8, 8))
    assert sum(each.parameters for each in found.layers) == sum(p.numel() for p in model.parameters())
    assert model.training
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        (lenet(), (1, 3, 28, 28), "layer '0'"),
        (lenet(), (1, 1, 20, 20), "layer '7'"),
        (Functional(), (1, 3, 1, 1), "what follows layer 'relu'"),
        (nn.Sequential(nn.Conv2d(1, 4, 9)), (1, 1, 8, 8), r"\(1, 8, 8\)"),
    ],
)
def test_inspect_says_which_layer_cannot_take_what(model, shape, words):
    with pytest.raises(ValueError, match=words) as error:
        inspect(model, torch.zeros(shape))
    said(error)


def test_efficientnet_counts_what_torch_counts(lite):
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.zeros(1, 3, 224, 224)
    found = inspect(lite, x)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        lite(x)
    assert 2 * sum(layer.multiplications for layer in found.layers) == counter.get_total_flops()
    assert sum(layer.parameters for layer in found.layers) == sum(p.numel() for p in lite.parameters()) == 4_652_008
    assert not [warning for warning in found.warnings if "never seen" in warning]


def test_every_published_tensor_has_its_place():
    ours, theirs = efficientnet_lite().state_dict(), published_weights()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


def test_real_photographs_get_their_names(lite):
    names = class_names()
    with torch.no_grad():
        best = lite(torch.cat([prepared(photograph(name)) for name in ("temple", "flower", "coffee")])).argmax(-1)
    assert [names[index] for index in best] == ["palace", "daisy", "espresso"]


def test_efficientnet_says_the_same_in_16_bits(lite):
    x = prepared(photograph("coffee"))
    with torch.no_grad():
        assert lite(x).argmax() == load_efficientnet().bfloat16()(x.bfloat16()).argmax()


@pytest.mark.parametrize("size", [7, 8, 15, 224])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_keeps_the_size(size, kernel, stride):
    out = nn.Conv2d(1, 1, kernel, stride)(SamePad(kernel, stride)(torch.zeros(1, 1, size, size)))
    assert out.shape[-1] == -(-size // stride)


def test_an_inverted_residual_adds_its_input_only_where_sizes_agree():
    assert InvertedResidual(8, 8).residual
    assert not InvertedResidual(8, 8, stride=2).residual
    assert not InvertedResidual(8, 12).residual


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((30, 40), np.uint8), np.zeros((30, 40, 4), np.uint8), np.zeros((30, 40, 3)),
        np.zeros((0, 40, 3), np.uint8), np.zeros((3, 30, 40), np.uint8),
    ],
)  # fmt: skip
def test_what_is_no_colour_picture_is_refused_with_its_shape(picture):
    with pytest.raises(ValueError, match=r"shape \(") as error:
        prepared(picture)
    assert str(picture.shape) in said(error)


def test_a_smaller_view_shows_the_same_part():
    image = photograph("astronaut")
    large = cropped(image, 224).astype(float).reshape(56, 4, 56, 4, 3).mean((1, 3))
    assert np.abs(large - cropped(image, 56)).mean() < 8


def test_photographs_are_colours_and_unknown_names_are_refused():
    assert all(photograph(name).shape[-1] == 3 and photograph(name).dtype == np.uint8 for name in NAMES)
    with pytest.raises(ValueError, match="temple") as error:
        photograph("dog")
    said(error)


def pooled(classes=3):
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, classes))


def test_grad_cam_before_a_mean_is_the_classifiers_own_weights():
    torch.manual_seed(0)
    model, x = pooled(), torch.rand(4, 1, 10, 10)
    classes = torch.tensor([0, 2, 1, 0])
    maps = model[:2](x)
    own = torch.einsum("bk,bkij->bij", model[4].weight[classes], maps) / 64
    assert grad_cam(model, x, "1", classes).allclose(own.relu(), atol=1e-6)
    assert not grad_cam(model, x, "1", classes).allclose((-own).relu(), atol=1e-3)  # a wrong sign shows


def test_grad_cam_leaves_the_model_as_it_was():
    model = pooled().train()
    grad_cam(model, torch.rand(2, 1, 10, 10), model[1])
    assert model.training
    assert not model[1]._forward_hooks
    assert all(p.grad is None for p in model.parameters())


def test_grad_cam_works_on_in_place_layers_and_under_no_grad():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        assert grad_cam(model, torch.rand(1, 1, 8, 8), "1").shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("layer", "classes", "words"),
    [
        ("9", None, "no layer '9'"),
        ("3", None, r"gives \(2, 5\)"),
        ("1", [0, 3], r"from 0 to 2"),
        ("1", [0], "2 pictures"),
    ],
)
def test_grad_cam_says_what_it_cannot_do(layer, classes, words):
    with pytest.raises(ValueError, match=words) as error:
        grad_cam(pooled(), torch.rand(2, 1, 10, 10), layer, classes)
    said(error)


def test_models_of_transformers_can_be_read_too():
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 5}
    model = ResNetForImageClassification(ResNetConfig(**sizes)).eval()
    x = torch.rand(2, 3, 64, 64)
    layer = "resnet.encoder.stages.1"
    maps = feature_maps(model, x, [layer])[layer]
    assert grad_cam(model, x, layer).shape == (2, *maps.shape[2:])
    assert occlusion(model, x, [0, 1], size=32, stride=32).shape == (2, 2, 2)
    found = inspect(model, x[:1])
    assert sum(each.parameters for each in found.layers) == sum(p.numel() for p in model.parameters())


def test_a_layer_of_another_model_is_refused():
    with pytest.raises(ValueError, match="no layer 'ReLU'"):
        layer_of(pooled(), nn.ReLU())


def test_occlusion_finds_the_only_pixel_that_counts():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    nn.init.zeros_(model[1].weight)
    model[1].weight.data[1, 8 * 5 + 2] = 3.0  # row 5, column 2
    x = torch.ones(1, 1, 8, 8)
    falls = occlusion(model, x, [1], size=2, stride=2)
    assert falls.shape == (1, 4, 4)
    assert falls[0].nonzero().tolist() == [[2, 1]]
    assert float(falls[0, 2, 1]) == pytest.approx(3)
    with pytest.raises(ValueError, match="spans 9"):
        occlusion(model, x, [1], size=9, stride=1)


def test_filters_are_shown_with_zero_in_the_middle():
    layer = nn.Conv2d(1, 2, 3)
    layer.weight.data[:] = 0
    layer.weight.data[0, 0, 1, 1] = -2
    pictures = kernel_pictures(layer)
    assert float(pictures[0, 1, 1, 0]) == 0
    assert pictures[1].unique().tolist() == [0.5]
    with pytest.raises(ValueError, match=r"\(8, 4, 3, 3\)") as error:
        kernel_pictures(nn.Conv2d(4, 8, 3))
    said(error)


def test_the_strongest_patch_is_where_the_pattern_is():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    model[0].weight.data[:] = 1
    images = torch.zeros(3, 1, 12, 12)
    images[1, 0, 4:7, 7:10] = 1
    patches, pictures = strongest(model, images, "0", channel=0, side=3, count=1)
    assert pictures == [1]
    assert patches.sum() == 9
    with pytest.raises(ValueError, match="no map 4") as error:
        strongest(model, images, "0", channel=4, side=3)
    said(error)


def test_feature_maps_are_those_before_in_place_layers_change_them():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    maps = feature_maps(model, torch.randn(1, 1, 8, 8), ["0", "1"])
    assert torch.equal(maps["0"].relu(), maps["1"])
    assert not torch.equal(maps["0"], maps["1"])


def test_a_mark_is_one_pixel():
    x = torch.zeros(2, 1, 28, 28)
    assert marked(x).sum() == 2
    assert not x.any()
    assert (marked(x)[:, 0, PLACE[0], PLACE[1]] == 1).all()
    with pytest.raises(ValueError, match=r"\(2, 2\)") as error:
        marked(torch.zeros(1, 1, 2, 2))
    said(error)


def test_committed_networks_load_and_others_are_named():
    assert trained_resnet("unmarked")(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    with pytest.raises(ValueError, match="marked") as error:
        trained_resnet("lenet")
    said(error)
