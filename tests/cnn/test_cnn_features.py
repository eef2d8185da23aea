"""The page `features`: probes, pooling, recall and adapters do what they say, and refuse what cannot be."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.adapters import LowRankConv2d, StoredNorms, add_adapters, probed_network
from llm_tutorial.cnn.efficientnet import efficientnet_lite, load_efficientnet
from llm_tutorial.cnn.features import (
    Probe,
    colour_histogram,
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    recall_at,
    shots,
    small_pixels,
    subjects,
)
from llm_tutorial.data.openmoji import openmoji


def said(error):
    """Both halves of a bilingual message."""
    english, chinese = str(error.value).split("\n", 1)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    return english


@pytest.fixture(scope="module")
def lite():
    return load_efficientnet()


@pytest.fixture(scope="module")
def pictures():
    return inputs(subjects("test")[:12], 64)


@pytest.fixture
def blobs():
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    return torch.randn(60, 20) + torch.eye(3, 20)[y], y


def test_no_subject_and_no_drawing_stands_on_two_sides():
    sides = {split: subjects(split) for split in ("train", "validation", "test")}
    everything = [picture for side in sides.values() for picture in side]
    assert len({picture.base for picture in everything}) == len(everything)
    assert {picture.base for picture in everything} == {picture.base for picture in openmoji()}
    known = {picture.drawing for split in ("train", "validation") for picture in sides[split]}
    assert not known & {picture.drawing for picture in sides["test"]}


def test_every_group_is_on_every_side():
    for split in ("train", "validation", "test"):
        names, labels = group_labels(subjects(split))
        assert sorted(set(labels.tolist())) == list(range(len(names)))


def test_pooled_features_are_means_and_leave_the_network_alone(lite, pictures):
    found = pooled_features(lite, pictures, ["blocks.4", "head", "flatten"], batch=5)
    with torch.no_grad():
        maps = lite.blocks[:5](lite.stem(pictures))
    assert found["blocks.4"].allclose(maps.mean((2, 3)), atol=1e-4)
    assert found["head"].allclose(found["flatten"], atol=1e-4)  # what the classifier reads
    assert not lite.head._forward_hooks
    model = nn.Sequential(nn.BatchNorm2d(3)).train()
    pooled_features(model, pictures, ["0"])
    assert model.training
    assert model[0].running_mean.eq(0).all()


def test_pooled_features_refuse_no_pictures_and_unknown_layers(lite, pictures):
    with pytest.raises(ValueError, match="no pictures") as error:
        pooled_features(lite, pictures[:0], ["head"])
    said(error)
    with pytest.raises(ValueError, match="nowhere"):
        pooled_features(lite, pictures[:1], ["nowhere"])
    assert not lite.head._forward_hooks


def test_pooled_features_refuse_tokens(pictures):
    tokens = nn.Sequential(nn.Conv2d(3, 5, 8, 8), nn.Flatten(2))
    with pytest.raises(ValueError, match="of tokens") as error:
        pooled_features(tokens, pictures, ["1"])
    said(error)
    assert not tokens[1]._forward_hooks


def test_sixteen_bits_give_nearly_the_same_features(lite, pictures):
    half = load_efficientnet().bfloat16()
    one = pooled_features(lite, pictures, ["head"])["head"]
    other = pooled_features(half, pictures.bfloat16(), ["head"])["head"].float()
    assert F.cosine_similarity(one, other).min() > 0.97


@pytest.mark.parametrize("features", [20, 200])  # fewer and more than examples
def test_a_probe_is_logistic_regression(blobs, features):
    x, y = blobs
    torch.manual_seed(1)
    x = x @ torch.randn(20, features)
    probe = fit_probe(x, y, strengths=[0.1])
    standard = ((x - x.mean(0)) / x.std(0)).double().numpy()
    library = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(standard, y.numpy())
    shares = probe.scores(x).softmax(-1)
    assert np.allclose(shares, library.predict_proba(standard), atol=2e-3)


def test_a_probe_can_be_scaled_by_pictures_without_labels(blobs):
    x, y = blobs
    torch.manual_seed(1)
    more = torch.randn(500, 20)
    probe = fit_probe(x, y, strengths=[0.1], scaled_by=more)
    assert probe.mean.equal(more.mean(0))
    assert probe.scale.equal(more.std(0))
    standard = ((x - more.mean(0)) / more.std(0)).numpy()
    library = LogisticRegression(C=0.1).fit(standard, y.numpy())
    assert np.allclose(probe.scores(x).softmax(-1), library.predict_proba(standard), atol=2e-3)


def test_a_probe_of_two_classes_answers_like_one_of_three(blobs):
    x, y = blobs
    two = y < 2
    probe = fit_probe(x[two], y[two], strengths=[0.1])
    standard = ((x - probe.mean) / probe.scale)[two].numpy()
    library = LogisticRegression(C=0.1).fit(standard, y[two].numpy())
    assert (probe.scores(x[two]).argmax(-1).numpy() == library.predict(standard)).all()


def test_shuffled_labels_leave_nothing_to_find(blobs):
    x, y = blobs
    torch.manual_seed(0)
    accuracy = fit_probe(x[:30], y[:30], strengths=[0.1]).accuracy(x[30:], y[30:])
    wrong = y[:30][torch.randperm(30)]
    assert fit_probe(x[:30], wrong, strengths=[0.1]).accuracy(x[30:], y[30:]) < accuracy - 0.1


def test_the_strength_is_chosen_on_validation(blobs):
    x, y = blobs
    held_out = x[30:], y[30:]
    strengths = [1e-6, 0.01, 1.0]
    chosen = fit_probe(x[:30], y[:30], held_out, strengths)
    each = [fit_probe(x[:30], y[:30], strengths=[one]).accuracy(*held_out) for one in strengths]
    assert chosen.accuracy(*held_out) == max(each)


def test_a_probe_refuses_what_it_cannot_choose_or_learn(blobs):
    x, y = blobs
    with pytest.raises(ValueError, match="no validation") as error:
        fit_probe(x, y)
    said(error)
    with pytest.raises(ValueError, match="no example of class") as error:
        fit_probe(x, torch.where(y == 1, 2, y), strengths=[1.0])
    assert "1" in said(error)
    with pytest.raises(ValueError, match="no example of class"):
        fit_probe(x, torch.zeros_like(y), strengths=[1.0])


def test_smaller_draws_are_parts_of_larger_ones():
    labels = torch.tensor([0] * 5 + [1] * 9)
    few, more = shots(labels, 2, seed=3), shots(labels, 7, seed=3)
    assert set(few.tolist()) < set(more.tolist())
    assert labels[few].bincount().tolist() == [2, 2]
    assert labels[more].bincount().tolist() == [5, 7]  # a class that has fewer


def test_a_histogram_knows_no_place_and_pixels_do():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 16, 16, 3), np.uint8)
    turned = picture[:, ::-1]
    assert colour_histogram(picture).equal(colour_histogram(turned))
    assert colour_histogram(picture).norm().item() == pytest.approx(1)
    assert not small_pixels(picture).equal(small_pixels(turned))
    assert small_pixels(picture).flatten().numpy() == pytest.approx(picture.transpose(0, 3, 1, 2).ravel() / 255)


def test_recall_counts_queries_with_an_answer_among_the_nearest():
    queries, gallery = torch.eye(3), torch.tensor([[1.0, 0.9, 0], [1, 0, 0], [0, 0, 5]])
    right = torch.tensor([[True, False, False], [True, False, False], [False, False, True]])
    assert recall_at(queries, gallery, right, (1, 2)) == {1: pytest.approx(2 / 3), 2: 1.0}


def test_recall_refuses_queries_without_an_answer():
    with pytest.raises(ValueError, match="no answer") as error:
        recall_at(torch.eye(2), torch.eye(2), torch.tensor([[True, False], [False, False]]))
    said(error)
    with pytest.raises(ValueError, match="right of shape") as error:
        recall_at(torch.eye(2), torch.eye(2), torch.ones(3, 2).bool())
    said(error)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 2)])
def test_an_adapter_is_peft_s(kernel, stride):
    torch.manual_seed(0)
    base = nn.Conv2d(6, 10, kernel, stride, padding=kernel // 2)
    mine = LowRankConv2d(base, rank=3, alpha=6)
    wrapped = get_peft_model(
        nn.Sequential(nn.Conv2d(6, 10, kernel, stride, padding=kernel // 2)),
        LoraConfig(r=3, lora_alpha=6, target_modules=["0"]),
    )
    theirs = wrapped.base_model.model[0]
    theirs.base_layer.load_state_dict(base.state_dict())
    nn.init.normal_(mine.up.weight)
    with torch.no_grad():
        theirs.lora_A.default.weight.copy_(mine.down.weight)
        theirs.lora_B.default.weight.copy_(mine.up.weight)
    x = torch.randn(2, 6, 9, 9)
    one, other = mine(x), theirs(x)
    assert one.allclose(other, atol=1e-5)
    for y in (one, other):
        y.square().sum().backward()
    assert mine.down.weight.grad.allclose(theirs.lora_A.default.weight.grad, rtol=1e-3, atol=1e-3)
    assert mine.up.weight.grad.allclose(theirs.lora_B.default.weight.grad, rtol=1e-3, atol=1e-3)
    assert mine.base.weight.grad is None
    assert mine.merged()(x).allclose(one, atol=1e-4)


def test_adapters_start_as_the_network_and_freeze_it(pictures):
    torch.manual_seed(0)
    model = efficientnet_lite(classes=9).eval()
    with torch.no_grad():
        before = model(pictures)
        add_adapters(model)
        assert model(pictures).equal(before)
    free = {name.rpartition(".")[0].rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert free == {"down", "up"}


def test_adapters_refuse_groups_and_names_that_are_not_there():
    with pytest.raises(ValueError, match="8 groups") as error:
        LowRankConv2d(nn.Conv2d(8, 8, 3, groups=8))
    said(error)
    with pytest.raises(ValueError, match="nothing") as error:
        add_adapters(nn.Sequential(nn.Conv2d(3, 4, 1)), "nothing")
    said(error)


def test_a_network_with_a_probe_gives_the_probe_s_scores(lite, pictures):
    features = pooled_features(lite, pictures, ["head"])["head"]
    torch.manual_seed(0)
    probe = Probe(features.mean(0), features.std(0) + 0.1, torch.randn(9, 1280) / 40, torch.randn(9), 1.0)
    model = probed_network(probe)
    assert model(pictures).allclose(probe.scores(features), atol=1e-3)
    assert not model.train().training


def test_stored_norms_do_not_move(pictures):
    model = StoredNorms(nn.BatchNorm2d(3)).train()
    model(pictures)
    assert model[0].running_mean.eq(0).all()
