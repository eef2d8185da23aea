"""The vision Transformer against Transformers, its positions and rollout, and the data that its comparison uses."""

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from llm_tutorial.digits import digit_tensors, warped
from llm_tutorial.results import results
from llm_tutorial.state_dicts import renamed
from llm_tutorial.transformer.rollout import attention_weights, erased, patch_map, rollout, trained_vit
from llm_tutorial.transformer.vit import VIT, VisionConfig, VisionTransformer, convolutional, own_vit, pairs, resized
from llm_tutorial.transformer.vit_library import library_vit

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "patch_size": 8}


@pytest.fixture(autouse=True)
def no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def library(kind=ViTForImageClassification, **kwargs):
    model = kind(ViTConfig(**SIZES, image_size=32, **kwargs)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 48), (16, 64), (40, 24)])
def test_logits_are_those_of_transformers_at_every_size(height, width):
    theirs = library(num_labels=5)
    images = torch.randn(2, 3, height, width)
    wanted = theirs(images, interpolate_pos_encoding=True).logits
    torch.testing.assert_close(own_vit(theirs)(images), wanted, atol=1e-4, rtol=1e-4)
    assert wanted.std() > 0.1


def test_states_are_those_of_vit_model():
    theirs, images = library(ViTModel), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(own_vit(theirs).states(images), theirs(images).last_hidden_state, atol=1e-4, rtol=1e-4)


def test_a_wrong_map_of_names_is_noticed():
    theirs, images = library(num_labels=5), torch.randn(2, 3, 32, 32)
    own = own_vit(theirs)
    exchanged = [(old, {"attention.query": "attention.key", "attention.key": "attention.query"}.get(new, new))
                 for old, new in VIT]  # fmt: skip
    own.load_state_dict(renamed(theirs.state_dict(), exchanged))
    assert not torch.allclose(own(images), theirs(images).logits, atol=1e-2)


def test_the_way_to_the_library_and_back_changes_nothing():
    own, images = VisionTransformer(VisionConfig()).eval(), torch.rand(3, 1, 28, 28)
    theirs = library_vit(own)
    torch.testing.assert_close(theirs(images).logits, own(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_vit(theirs)(images), own(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_answers_in_16_bits_are_those_in_32(dtype):
    model, (images, _) = trained_vit(), digit_tensors("test")
    full, half = model(images[:200]), trained_vit().to(dtype)(images[:200].to(dtype))
    assert (full.argmax(-1) == half.argmax(-1)).double().mean() > 0.97


def test_the_committed_models_are_as_good_as_recorded():
    runs = results("transformer", "vit")["metrics"]
    for task, name in (("digits", "ViT, 4000 pictures"), ("pairs", "ViT, pairs, 8000 pictures")):
        images, labels = digit_tensors("test") if task == "digits" else pairs("test")
        right = (trained_vit(task)(images).argmax(-1) == labels).double().mean()
        assert abs(right - runs[f"{name}, seed 0"]["accuracy"]) < 0.01


def test_the_mean_reads_all_patches_and_not_cls():
    model = VisionTransformer(VisionConfig(pooling="mean")).eval()
    images = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(model(images), model.head(model.states(images)[:, 1:].mean(1)))
    with pytest.raises(ValueError, match=r"reads the CLS token\n.*只读 CLS"):
        library_vit(model)


def test_positions_of_the_same_grid_stay_and_cls_always_does():
    positions = torch.randn(1, 17, 8)
    assert resized(positions, (4, 4)) is positions
    larger = resized(positions, (6, 5))
    assert larger.shape == (1, 31, 8)
    assert torch.equal(larger[:, 0], positions[:, 0])
    even = positions.clone()
    even[:, 1:] = 3.0
    torch.testing.assert_close(resized(even, (7, 9))[:, 1:], torch.full((1, 63, 8), 3.0))


def test_a_rectangle_with_as_many_patches_is_interpolated_too():
    model = VisionTransformer(VisionConfig()).eval()
    flat = torch.rand(1, 1, 14, 56)  # 2 × 8 patches: 16 again
    x = model.patches(flat).flatten(2).mT
    assert not torch.allclose(model.embed(flat)[:, 1:], x + model.positions[:, 1:], atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3, 28, 28), (1, 1, 30, 28), (1, 28, 28, 1)])
def test_pictures_that_do_not_fit_are_refused_in_both_languages(shape):
    with pytest.raises(ValueError, match=r"expected 1 channels.*\n.*应当有 1 个通道"):
        VisionTransformer(VisionConfig())(torch.zeros(shape))


def test_bad_choices_are_refused():
    with pytest.raises(ValueError, match=r"do not divide.*\n.*分不成"):
        VisionConfig(side=30)
    with pytest.raises(ValueError, match=r"not a ViT with GELU and biases.*\n"):
        own_vit(library(hidden_act="relu"))
    with pytest.raises(ValueError, match="unknown kind"):
        warped(torch.zeros(1, 1, 28, 28), "turn")
    with pytest.raises(ValueError, match=r"no ViT for 'cats'.*\n.*没有"):
        trained_vit("cats")


def test_attention_weights_are_those_of_transformers():
    own, images = VisionTransformer(VisionConfig()).eval(), torch.rand(2, 1, 28, 28)
    theirs = library_vit(own)
    theirs.set_attn_implementation("eager")
    wanted = torch.stack(theirs(images, output_attentions=True).attentions)
    torch.testing.assert_close(attention_weights(own, images), wanted, atol=1e-5, rtol=1e-5)


def test_rollout_keeps_shares_and_the_order_of_layers():
    attention = torch.rand(3, 2, 4, 17, 17).softmax(-1)
    shares = rollout(attention)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 17))
    assert not torch.allclose(shares, rollout(attention.flip(0)), atol=1e-5)
    torch.testing.assert_close(patch_map(shares).flatten(1), shares[:, 0, 1:])
    nobody = torch.eye(17).expand(3, 2, 4, 17, 17)
    torch.testing.assert_close(rollout(nobody), torch.eye(17).expand(2, 17, 17))


def test_later_layers_of_rollout_stand_on_the_left():
    first = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 1]])  # token 1 reads token 2
    second = torch.tensor([[0, 1.0, 0], [0, 1, 0], [0, 0, 1]])  # then token 0 reads token 1
    shares = rollout(torch.stack([first, second])[:, None, None])
    torch.testing.assert_close(shares[0, 0], torch.tensor([0.5, 0.25, 0.25]))


def test_the_patches_of_a_map_are_erased_and_no_others():
    maps = torch.arange(16.0).view(1, 4, 4)
    left = erased(torch.ones(1, 1, 28, 28), maps, 4, 7)
    assert left[0, 0, 21:].sum() == 0
    assert left.sum() == 28 * 21


@pytest.mark.parametrize("kind", ["none", "shift", "affine"])
def test_augmentation_moves_and_does_not_erase(kind):
    images, _ = digit_tensors("validation")
    moved = warped(images, kind)
    assert moved.shape == images.shape
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-5
    assert torch.equal(moved, images) == (kind == "none")
    assert 0.9 < moved.sum() / images.sum() < 1.1


def test_a_shift_is_by_whole_pixels():
    image = torch.zeros(50, 1, 28, 28)
    image[:, :, 14, 14] = 1
    moved = warped(image, "shift")
    torch.testing.assert_close(moved.amax((1, 2, 3)), torch.ones(50), atol=1e-3, rtol=0)
    places = moved.flatten(1).argmax(1)
    assert ((places // 28 - 14).abs() <= 2).all()
    assert ((places % 28 - 14).abs() <= 2).all()


def test_in_pairs_only_the_relation_says_the_class():
    images, labels = pairs("train")
    left, right = (images[..., part].amax(3)[:, 0] > 0 for part in (slice(0, 8), slice(20, 28)))
    assert images[..., 8:20].abs().sum() == 0
    assert 0.45 < labels.double().mean() < 0.55
    for side in (left, right):
        top = side.int().argmax(1).double()  # the first row with ink
        assert abs(top[labels == 1].mean() - top[labels == 0].mean()) < 0.5
    tops = [side.int().argmax(1) for side in (left, right)]
    same = (tops[0] - tops[1]).abs() <= 3  # digits differ by a row or two in where their ink begins
    assert (same[labels == 1]).double().mean() > 0.95
    assert (same[labels == 0]).double().mean() < 0.15


def test_a_cnn_whose_field_is_too_small_can_only_add():
    images, _ = pairs("test", 20)
    left, right = images.clone(), images.clone()
    left[..., 14:], right[..., :14] = 0, 0
    for dilations, adds in (((1, 1, 1), True), ((1, 2, 4), False)):
        network = convolutional((8, 8, 8), 1, 2, dilations).double().eval()
        parts = network(left.double()) + network(right.double()) - network(torch.zeros(1, 1, 28, 28).double())
        assert torch.allclose(network(images.double()), parts, atol=1e-12) == adds


def test_both_cnns_of_the_relation_have_the_same_weights():
    near, far = (convolutional((8, 8, 8), 1, 2, d) for d in ((1, 1, 1), (1, 2, 4)))
    assert [p.shape for p in near.parameters()] == [p.shape for p in far.parameters()]
