import numpy as np
import pytest

generator = np.random.default_rng(0)
x = generator.normal(size=(6, 64))
weight = generator.normal(size=(64, 32))


def error(found, exact):  # of each token
    return np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)


def test_ordinary_tokens_are_right(answer):
    found = error(answer.linear_in_8_bits(x, weight), x @ weight)
    assert found.max() < 0.02, pytest.say(
        f"Relative errors of six ordinary tokens: {found.round(3)}; "
        "below 0.02 is right.",
        f"六个普通词元的相对误差是 {found.round(3)}；应当都在 0.02 以下。",
    )


def test_an_outlier_hurts_its_own_token_alone(answer):
    outlier = x.copy()
    outlier[2, 5] = 300
    found = np.delete(
        error(answer.linear_in_8_bits(outlier, weight), outlier @ weight), 2
    )
    assert found.max() < 0.02, pytest.say(
        f"A value of 300 in one token; the others' errors are now {found.round(3)}. "
        "Take the lowest and the highest value along axis 1, with keepdims=True.",
        f"一个词元里有一个 300，其余词元的误差变成了 {found.round(3)}。"
        "最小值和最大值要沿 axis=1 取，并用 keepdims=True。",
    )


def test_the_zero_has_8_bits_as_well(answer):
    _, _, zero = answer.round_input(np.abs(x) + 3)  # nothing below 3
    assert zero.min() >= 0 and zero.max() <= 255, pytest.say(
        f"All values positive, and the zero is {zero.ravel().round(1)}: the range must "
        "include 0, so that the zero is one of the 256 integers.",
        f"所有值都是正的，零点成了 {zero.ravel().round(1)}："
        "范围要包括 0，零点才会是 256 个整数之一。",
    )


def test_a_token_of_zeros_stays_zeros(answer):
    silent = x.copy()
    silent[1] = 0
    with np.errstate(all="ignore"):
        found = answer.linear_in_8_bits(silent, weight)[1]
        _, _, zero = answer.round_input(silent)
    assert np.all(found == 0) and np.isfinite(zero).all(), pytest.say(
        f"A token of zeros has the zero {zero[1]} and gave {found[:3]}: its scale is "
        "0, and 0 / 0 is no number.",
        f"全零的词元零点是 {zero[1]}，得到 {found[:3]}："
        "它的尺度是 0，而 0 / 0 不是数。",
    )
