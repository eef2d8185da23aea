"""Our convolutions give what torch gives, forward and backward, over random shapes; bad sizes are named."""

import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from llm_tutorial.cnn.convolution import (
    check,
    convolve,
    convolve_fourier,
    convolve_transposed,
    gradients,
    output_size,
    windows,
)

CONV = {1: F.conv1d, 2: F.conv2d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d}


@st.composite
def cases(draw, grouped=True):
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3)) if grouped else 1
    kernel, stride, padding, dilation = (
        [draw(st.integers(low, high)) for _ in range(axes)] for low, high in ((1, 4), (1, 3), (0, 3), (1, 3))
    )
    size = [d * (k - 1) + 1 + draw(st.integers(0, 6)) for k, d in zip(kernel, dilation, strict=True)]
    torch.manual_seed(draw(st.integers(0, 9)))
    x = torch.randn(2, groups * draw(st.integers(1, 3)), *size, requires_grad=True)
    weight = torch.randn(groups * draw(st.integers(1, 3)), x.shape[1] // groups, *kernel, requires_grad=True)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return axes, x, weight, torch.randn(len(weight), requires_grad=True), options


@settings(max_examples=60, deadline=None)
@given(cases())
def test_convolution_is_that_of_torch_forward_and_backward(case):
    axes, x, weight, bias, options = case
    ours, theirs = convolve(x, weight, bias, **options), CONV[axes](x, weight, bias, **options)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    dy = torch.randn_like(theirs)
    for one, two in zip(*(torch.autograd.grad(y, (x, weight, bias), dy) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(cases(grouped=False))
def test_size_of_the_output_is_that_of_torch(case):
    axes, x, weight, _, options = case
    options.pop("groups")
    places = CONV[axes](x, weight, **options).shape[2:]
    sizes = zip(x.shape[2:], weight.shape[2:], *options.values(), strict=True)
    assert tuple(output_size(*each) for each in sizes) == places


@settings(max_examples=30, deadline=None)
@given(cases(grouped=False), st.integers(1, 3), st.integers(0, 3))
def test_transposed_convolution_is_that_of_torch_and_the_adjoint_of_the_convolution(case, stride, padding):
    axes, x, weight, _, _ = case
    padding = min(padding, min(weight.shape[2:]) - 1)
    x, weight = x.detach().double(), weight.detach().double()
    y = CONV[axes](x, weight, stride=stride, padding=padding)
    assume(all((n - 1) * stride + k > 2 * padding for n, k in zip(y.shape[2:], weight.shape[2:], strict=True)))
    back = convolve_transposed(y, weight, stride=stride, padding=padding)
    torch.testing.assert_close(back, TRANSPOSED[axes](y, weight, stride=stride, padding=padding))
    seen = x[(slice(None), slice(None), *map(slice, back.shape[2:]))]
    lost = [n - m for n, m in zip(x.shape[2:], back.shape[2:], strict=True)]
    if not any(lost):  # <conv x, z> = <x, transposed z>
        z = torch.randn_like(y)
        back = convolve_transposed(z, weight, stride=stride, padding=padding)
        torch.testing.assert_close((y * z).sum(), (seen * back).sum())


@settings(max_examples=30, deadline=None)
@given(cases(grouped=False), st.integers(1, 3), st.integers(0, 3))
def test_gradients_written_out_are_those_of_autograd(case, stride, padding):
    axes, x, weight, _, _ = case
    padding = min(padding, min(weight.shape[2:]) - 1)
    y = CONV[axes](x, weight, stride=stride, padding=padding)
    dy = torch.randn_like(y)
    wanted = torch.autograd.grad(y, (x, weight), dy)
    for ours, theirs in zip(gradients(x.detach(), weight.detach(), dy, stride, padding), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(cases(grouped=False))
def test_fourier_gives_the_same(case):
    _, x, weight, _, _ = case
    torch.testing.assert_close(convolve_fourier(x, weight), convolve(x, weight), atol=1e-4, rtol=1e-3)


def test_gradcheck_in_double_precision():
    x = torch.randn(1, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: convolve(x, w, stride=(2, 1), padding=1, dilation=(1, 2), groups=2), (x, weight)
    )
    back = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: convolve_transposed(x, w, stride=2, padding=1), (back, kernel))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_what_torch_gives(dtype):
    x, weight = torch.randn(2, 3, 8, 8, dtype=dtype), torch.randn(4, 3, 3, 3, dtype=dtype)
    ours = convolve(x, weight, padding=1)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, F.conv2d(x, weight, padding=1), atol=0.1, rtol=0.05)


def test_a_depthwise_then_a_pointwise_convolution_are_one_separable_layer():
    x, depth, point = torch.randn(2, 6, 9, 9), torch.randn(6, 1, 3, 3), torch.randn(8, 6, 1, 1)
    whole = torch.einsum("oc,chw->ochw", point[:, :, 0, 0], depth[:, 0])  # the full kernel that the two make
    ours = convolve(convolve(x, depth, padding=1, groups=6), point)
    torch.testing.assert_close(ours, F.conv2d(x, whole, padding=1), atol=1e-4, rtol=1e-4)


def test_windows_are_a_view():
    x = torch.randn(1, 2, 8, 8)
    assert windows(x, 3, dilation=2).data_ptr() == x.data_ptr()


X = torch.zeros(1, 4, 8, 8)


@pytest.mark.parametrize(
    ("call", "sizes"),
    [
        (lambda: convolve(X, torch.zeros(2, 4, 9, 9)), "a kernel of 9 with dilation 1 spans 9, but the padded input has only 8"),
        (lambda: convolve(X, torch.zeros(2, 4, 3, 3), stride=0), "stride 0"),
        (lambda: convolve(X, torch.zeros(2, 4, 3, 3), padding=-1), "padding -1"),
        (lambda: convolve(X, torch.zeros(2, 2, 3, 3), groups=3), "3 groups do not divide 4 channels and 2 outputs"),
        (lambda: convolve(X, torch.zeros(2, 3, 3, 3)), "4 channels, the weight wants 3 × 1 groups = 3"),
        (lambda: convolve(torch.zeros(1, 4, 0), torch.zeros(2, 4, 3)), "empty: (1, 4, 0)"),
        (lambda: convolve(X, torch.zeros(2, 4, 3)), "input (1, 4, 8, 8) and weight (2, 4, 3)"),
        (lambda: convolve(X, torch.zeros(2, 4, 3, 3), stride=(1, 1, 1)), "3 sizes (1, 1, 1) for 2 axes"),
        (lambda: convolve_transposed(X, torch.zeros(4, 2, 3, 3), padding=3), "padding (3, 3) of a kernel of (3, 3)"),
    ],
)  # fmt: skip
def test_bad_sizes_are_named_in_both_languages(call, sizes):
    with pytest.raises(ValueError, match=re.escape(sizes)) as caught:
        call()
    assert re.search("[\u4e00-\u9fff]", str(caught.value))


def test_what_goes_together_is_let_through():
    check(X, torch.zeros(6, 2, 3, 3), 2)
