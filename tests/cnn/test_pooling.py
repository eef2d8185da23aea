"""Poolings give what torch gives; blurring holds a constant and lets nothing alias that the new grid cannot hold."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.pooling import AttentionPool, BlurPool, average_pool, k_max_pool, max_pool


@pytest.mark.parametrize(("kernel", "stride"), [(2, None), (3, 2), (3, 1), ((2, 3), (1, 2))])
def test_max_and_mean_are_those_of_torch_forward_and_backward(kernel, stride):
    x = torch.randn(2, 3, 9, 11, requires_grad=True)
    for ours, theirs in ((max_pool, F.max_pool2d), (average_pool, F.avg_pool2d)):
        one, two = ours(x, kernel, stride), theirs(x, kernel, stride)
        torch.testing.assert_close(one, two)
        dy = torch.randn_like(two)
        torch.testing.assert_close(*(torch.autograd.grad(y, x, dy)[0] for y in (one, two)))


def test_signals_are_pooled_as_torch_pools_them():
    x = torch.randn(2, 3, 11)
    torch.testing.assert_close(max_pool(x, 3, 2), F.max_pool1d(x, 3, 2))
    torch.testing.assert_close(average_pool(x, 4), F.avg_pool1d(x, 4))


def test_k_largest_keep_their_order_and_the_largest_is_the_maximum():
    x = torch.randn(4, 5, 20)
    kept = k_max_pool(x, 6)
    assert torch.equal(kept.sort(-1).values, x.sort(-1).values[..., -6:])
    assert torch.equal(k_max_pool(x, 1)[..., 0], x.amax(-1))
    assert torch.equal(k_max_pool(x, 20), x)


@pytest.mark.parametrize("k", [0, 6])
def test_more_places_than_there_are_is_an_error(k):
    with pytest.raises(ValueError, match=f"the {k} largest of 5 places"):
        k_max_pool(torch.zeros(1, 1, 5), k)


def test_attention_pooling_is_the_mean_at_first_and_a_place_where_the_query_is_long():
    x = torch.randn(2, 8, 4, 5)
    pool = AttentionPool(8)
    torch.testing.assert_close(pool(x), x.mean((2, 3)))
    pool.query.data = 1000 * torch.randn(8)
    best = (pool.query @ x.flatten(2)).argmax(-1)
    torch.testing.assert_close(pool(x), x.flatten(2)[range(2), :, best])


def test_attention_pooling_is_scaled_dot_product_attention_with_one_query():
    x, pool = torch.randn(2, 8, 7), AttentionPool(8)
    pool.query.data.normal_()
    keys = x.mT[:, None]  # (batch, head, place, channels)
    wanted = F.scaled_dot_product_attention(pool.query.expand(2, 1, 1, 8), keys, keys, scale=1.0)
    torch.testing.assert_close(pool(x), wanted[:, 0, 0])


@pytest.mark.parametrize("taps", [1, 3, 5, 7])
def test_blur_is_binomial_and_holds_a_constant(taps):
    pool = BlurPool(2, taps)
    binomial = torch.tensor([float(math.comb(taps - 1, place)) for place in range(taps)])
    torch.testing.assert_close(pool.kernel[0, 0], torch.outer(binomial, binomial) / binomial.sum() ** 2)
    torch.testing.assert_close(pool(torch.full((1, 2, 8, 8), 3.0)), torch.full((1, 2, 4, 4), 3.0))


def test_blur_removes_the_finest_pattern_that_a_stride_would_take_for_a_constant():
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16, 16)
    assert stripes[..., ::2, ::2].std() == 0  # the stride alone sees a constant of 1
    assert stripes[..., ::2, ::2].mean() == 1
    assert BlurPool(1, padding_mode="circular")(stripes).abs().max() < 1e-6


def test_blur_takes_half_precision_and_refuses_an_even_filter():
    assert BlurPool(3)(torch.ones(1, 3, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="4 taps"):
        BlurPool(1, 4)


def test_blur_moves_with_its_module():
    pool = nn.Sequential(BlurPool(1)).to(torch.float64)
    assert pool(torch.ones(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64
