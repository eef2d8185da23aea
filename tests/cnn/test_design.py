"""The page `design`: a network is what its choices say, and the built data have the answer that they promise."""

import pytest
import torch
from torch import nn

from llm_tutorial.cnn.design import POOLS, Design, parameters, within
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.sweeps import GAP, bits, ceiling, cued, place_loss, pulses, unpacked


def said(error):
    """Both halves of a bilingual message."""
    english, chinese = str(error.value).split("\n", 1)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    return english


@pytest.mark.parametrize("pooling", POOLS)
@pytest.mark.parametrize("shape", [(2, 40), (3, 20, 24)])
def test_every_pooling_builds_for_signals_and_for_pictures(pooling, shape):
    model = Design((4, 6), layers=2, pooling=pooling).build(shape, 5)
    out = model(torch.zeros(2, *shape))
    assert out.shape[:2] == (2, 5)
    assert out.dim() == (len(shape) + 1 if pooling == "none" else 2)


def test_the_field_grows_as_the_choices_say():
    for layers, kernel in ((7, 3), (4, 5), (2, 13)):  # the first is a stem of 3 with stride 2
        model = Design((5,), layers, kernel, stem=2, first=3).build((1, 28, 28), 10)
        table = [layer for layer in inspect(model, torch.zeros(1, 1, 28, 28)).layers if "Conv" in layer.kind]
        assert table[-1].receptive_field == (27, 27)


def test_a_design_within_a_budget_is_as_wide_as_it_can_be():
    design = within(Design(), 6000, (1, 28, 28), 10)
    assert parameters(design.build((1, 28, 28), 10)) <= 6000
    wider = Design(tuple(width + 2 for width in design.widths))
    assert parameters(wider.build((1, 28, 28), 10)) > 6000


def test_a_separable_design_is_wider_at_the_same_budget():
    full, cheap = (within(Design(separable=way), 6000, (1, 28, 28), 10) for way in (False, True))
    assert all(b > a for a, b in zip(full.widths, cheap.widths, strict=True))
    kernels = [m for m in cheap.build((1, 28, 28), 10) if isinstance(m, nn.Conv2d)]
    assert [m.groups for m in kernels] == [1, cheap.widths[0], 1, cheap.widths[1], 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: Design(pooling="median").build((1, 9), 2),
        lambda: Design(kernel=4).build((1, 9), 2),
        lambda: Design(()).build((1, 9), 2),
        lambda: Design(halving="blur").build((1, 32), 2),
        lambda: within(Design(), 10, (1, 28, 28), 10),
        lambda: cued(4, places=17),
    ],
)
def test_what_cannot_be_is_refused_in_both_languages(call):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    said(error)


@pytest.mark.parametrize("places", [1, 4, 16])
def test_the_energy_of_a_cue_does_not_depend_on_its_spread(places):
    torch.manual_seed(0)
    x, y = cued(4000, places)
    gain = x[y == 1].square().sum((1, 2)).mean() - x[y == 0].square().sum((1, 2)).mean()
    assert float(gain) == pytest.approx(36, abs=3)
    assert float(y.double().mean()) == 0.5


def test_a_label_is_the_sign_of_the_last_pulse():
    torch.manual_seed(0)
    x, y = pulses(50, 60)
    right = []
    for signal, labels in zip(x[:, 0].tolist(), y.tolist(), strict=True):
        last = -1
        for value, label in zip(signal, labels, strict=True):
            if abs(value) > 1.75:  # a pulse of 3 in noise of 0.5: hardly ever mistaken
                last = int(value > 0)
            if label >= 0:
                right.append(last == label)
    assert sum(right) / len(right) > 0.98
    assert set(y.unique().tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("seen", [[0], list(range(5)), list(range(16)), [0, 4, 8, 12, 16]])
def test_no_oracle_that_reads_some_places_beats_the_formula_of_the_page(seen):
    torch.manual_seed(1)
    x, y = pulses(2000, 128)
    y = y[:, 64:]
    guess = torch.zeros_like(y)
    for distance in reversed(seen):  # nearer ones overwrite
        here = x[:, 0, 64 - distance : 128 - distance]
        guess = torch.where(here.abs() > 1.75, (here > 0).long(), guess)
    right = float((guess == y)[y >= 0].double().mean())
    assert right == pytest.approx(0.5 + 0.5 * sum(GAP * (1 - GAP) ** distance for distance in seen), abs=0.01)
    if seen == list(range(len(seen))):
        assert right == pytest.approx(ceiling(seen[-1]), abs=0.01)


def test_places_without_a_label_do_not_count():
    logits, labels = torch.randn(2, 2, 5), torch.tensor([[-1, -1, 0, 1, 1], [-1, 0, 0, 0, 1]])
    other = logits.clone()
    other[:, :, 0] += torch.tensor([3.0, -3.0])
    assert torch.equal(place_loss(logits, labels), place_loss(other, labels))


def test_bits_come_back():
    right = torch.tensor([False, False, True, False, True, True, False])
    assert torch.equal(unpacked(bits(right), 7), right)
