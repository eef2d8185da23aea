"""Attention in parts: equal to torch's over any shape and mask, forwards and backwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from llm_tutorial.lora.attention import NEVER, attention, merge, peak_bytes, tiled_attention

sizes = st.integers(1, 9)


def tensors(seed, batch, heads, groups, queries, keys, size, value_size):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, heads, queries, size), (batch, groups, keys, size), (batch, groups, keys, value_size)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def gradients(out, leaves):
    return torch.autograd.grad(out.sin().sum(), leaves)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 3), sizes, sizes, sizes, st.integers(1, 3), st.integers(1, 3))
def test_output_and_gradients_are_those_of_torch(seed, batch, queries, keys, size, groups, group):
    leaves = tensors(seed, batch, groups * group, groups, queries, keys, size, size)
    mask = torch.rand(batch, 1, queries, keys, generator=torch.Generator().manual_seed(seed)) < 0.6
    out, _ = attention(*leaves, mask)
    theirs = F.scaled_dot_product_attention(*leaves, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(out, theirs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients(out, leaves), gradients(theirs, leaves), atol=1e-5, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 40), st.integers(0, 30), st.integers(1, 17), st.booleans())
def test_tiles_make_the_whole(seed, queries, cached, block_size, causal):
    keys = queries + cached
    leaves = tensors(seed, 2, 4, 2, queries, keys, 5, 3)
    mask = torch.ones(queries, keys, dtype=torch.bool).tril(cached) if causal else None
    out, lse = tiled_attention(*leaves, block_size=block_size, causal=causal)
    whole, whole_lse = attention(*leaves, mask)
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(lse, whole_lse, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients(out, leaves), gradients(whole, leaves), atol=1e-5, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(2, 12), st.floats(0.1, 300))
def test_any_two_parts_of_the_keys_merge(seed, keys, factor):
    query, key, value = tensors(seed, 1, 2, 2, 4, keys, 5, 3)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(keys, generator=generator) < 0.5
    mask = chosen[None].expand(4, -1)
    parts = [attention(query * factor, key, value, each) for each in (mask, ~mask)]
    out, lse = merge(*parts[0], *parts[1])
    whole, whole_lse = attention(query * factor, key, value)
    torch.testing.assert_close(out, whole, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(lse, whole_lse, atol=1e-4, rtol=1e-3)


def test_log_sum_exp_is_that_of_the_scores():
    query, key, value = tensors(0, 1, 2, 2, 4, 6, 8, 8)
    _, lse = attention(query, key, value)
    torch.testing.assert_close(lse, (query @ key.mT / 8**0.5).logsumexp(-1))


def test_a_given_scale_takes_the_place_of_the_root():
    query, key, value = tensors(0, 1, 2, 2, 4, 6, 8, 8)
    torch.testing.assert_close(
        attention(query, key, value, scale=0.3)[0], F.scaled_dot_product_attention(query, key, value, scale=0.3)
    )


def test_a_query_that_reads_nothing_gives_zero_and_no_nan():
    leaves = tensors(0, 1, 2, 2, 4, 6, 8, 8)
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[2] = False
    out, lse = attention(*leaves, mask)
    assert (out[:, :, 2] == 0).all()
    torch.testing.assert_close(lse[:, :, 2], torch.full((1, 2), NEVER))
    both, _ = merge(out, lse, out, lse)  # empty in both parts
    assert all(grad.isfinite().all() for grad in gradients(both, leaves))
    torch.testing.assert_close(both, out)


def test_heads_that_do_not_divide_are_named():
    query, key, value = tensors(0, 1, 3, 2, 4, 6, 8, 8)
    with pytest.raises(ValueError, match="3 query heads cannot share 2 heads of keys and 2 of values"):
        attention(query, key, value)


def test_peak_is_of_what_is_held_at_one_time():
    x = torch.ones(1000)

    def one_after_the_other():
        for _ in range(5):
            torch.ones(1000)
        return x

    assert 4000 <= peak_bytes(one_after_the_other) < 4200
    assert 8000 <= peak_bytes(lambda: (x + 1) * 2) < 8200
    assert 20000 <= peak_bytes(lambda: [x + 1 for _ in range(5)]) < 20400


def test_tiles_hold_far_less_than_the_matrix():
    leaves = [x.detach() for x in tensors(0, 1, 1, 1, 1024, 1024, 16, 16)]
    whole, tiled = (peak_bytes(lambda: call(*leaves)) for call in (attention, tiled_attention))  # noqa: B023
    assert whole > 2 * 4 * 1024**2
    assert tiled < whole / 10
