"""L*a*b* has the values of the standard, and differences are told by hue."""

import itertools

import numpy as np
import pytest
import torch

from llm_tutorial.colour import HUES, chroma_and_hue, colour_difference, difference_by_hue, to_lab


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # of sRGB under D65, as colour calculators give them
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0.0, 0.0)),
        ((5, 5, 5), (1.37, 0.0, 0.0)),
    ],
)
def test_colours_have_the_values_of_the_standard(rgb: tuple, lab: tuple) -> None:
    image = torch.tensor(rgb).reshape(1, 3, 1, 1) / 127.5 - 1
    assert np.allclose(to_lab(image).flatten(), lab, atol=0.03)


def test_gradients_are_finite_in_black_white_and_beyond() -> None:
    image = torch.tensor([-1.5, -1.0, -0.999, -0.9, 0.0, 1.0, 1.5]).repeat(3).reshape(1, 3, 7, 1).requires_grad_()
    to_lab(image).sum().backward()
    assert bool(image.grad.isfinite().all())


def test_every_hue_is_in_one_group() -> None:
    covered = sorted(HUES.values())
    assert all(first[1] == second[0] for first, second in itertools.pairwise(covered))
    assert covered[-1][1] - covered[0][0] == 360


def test_a_wrong_red_counts_among_the_reds_alone() -> None:
    real = -torch.ones(1, 3, 2, 2)
    real[0, 0, 0] = 0.7  # the upper half is red, the lower black
    made = real.clone()
    made[0, :2, 0] = 0.0  # brown
    found = difference_by_hue(made, real)
    assert found["red"] > 30
    assert found["all"] == pytest.approx(found["red"] / 2)
    assert set(found) == {"all", "red"}
    assert not difference_by_hue(real, real)["all"]
    assert not colour_difference(real, real).any()


def test_grey_has_no_chroma() -> None:
    assert chroma_and_hue(torch.zeros(1, 3, 1, 1))[0].item() < 0.1
