"""The 5,000 digits: shapes, splits without a picture in two of them, and an order that says nothing."""

import numpy as np
import pytest

from llm_tutorial.data.digits import PARTS, digits


def test_every_picture_is_in_one_split_and_none_is_there_twice():
    images = [image.tobytes() for split in PARTS for image in digits(split)[0]]
    assert len(images) == len(set(images)) == 5000


def test_each_digit_is_there_five_hundred_times_and_in_every_split():
    counts = [np.bincount(digits(split)[1], minlength=10) for split in PARTS]
    assert np.sum(counts, 0).tolist() == [500] * 10
    assert np.min(counts) >= 25


def test_the_first_hundred_hold_every_digit():
    labels = digits("train")[1][:100]
    assert set(labels.tolist()) == set(range(10))
    assert abs(np.corrcoef(np.arange(4000), digits("train")[1])[0, 1]) < 0.05


def test_ink_is_bright_and_stands_in_the_middle():
    images, _ = digits("test")
    assert images.dtype == np.uint8
    assert images.min() == 0
    assert images.max() == 255
    assert images[:, 10:18, 10:18].mean() > 5 * images[:, :4].mean()


def test_what_is_handed_out_may_be_changed():
    first, _ = digits("test")
    first[:] = 0
    assert digits("test")[0].any()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        digits("dev")
