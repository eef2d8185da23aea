"""Three ways to halve a resolution, shifts, and the share of answers that stay the same."""

import pytest
import torch
from torch import nn

from llm_tutorial.cnn.digits import agreement, digit_cnn, halving, shifted


@pytest.mark.parametrize("kind", ["stride", "max", "blur"])
def test_networks_differ_in_nothing_that_is_learned(kind):
    shapes = [tuple(p.shape) for p in digit_cnn(kind).parameters()]
    assert shapes == [tuple(p.shape) for p in digit_cnn("max").parameters()]


def test_every_second_place_is_kept_and_the_largest_of_four():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(halving("stride", 1)(x), x[..., ::2, ::2])
    assert torch.equal(halving("max", 1)(x), x[..., 1::2, 1::2])


def test_blurred_halving_holds_a_constant_inside():
    y = halving("blur", 2)(torch.ones(1, 2, 12, 12))
    assert torch.allclose(y, torch.ones(1, 2, 6, 6))


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'mean'"):
        halving("mean", 1)


@pytest.mark.parametrize("way", [(1, 0), (-2, 0), (0, 3), (0, -1), (2, -2), (0, 0)])
def test_shift_moves_and_brings_in_zeros(way):
    x = torch.rand(2, 1, 8, 8) + 1
    y, (down, right) = shifted(x, *way), way
    inside = (slice(max(down, 0), 8 + min(down, 0)), slice(max(right, 0), 8 + min(right, 0)))
    assert torch.equal(y[..., *inside], x.roll(way, (2, 3))[..., *inside])
    assert (y == 0).sum() == 2 * (64 - (8 - abs(down)) * (8 - abs(right)))


class LeftOrRight(nn.Module):
    def forward(self, x):  # which half holds more ink
        return torch.stack([x[..., :4].sum((1, 2, 3)), x[..., 4:].sum((1, 2, 3))], -1)


def test_agreement_counts_answers_that_change():
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, 4, 0] = x[1, 0, 4, 3] = 1  # the second crosses the middle when it moves right
    assert agreement(LeftOrRight(), x, 0) == 1
    assert agreement(LeftOrRight(), x, 1) == 1 - 1 / 8
