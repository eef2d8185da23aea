"""Attention over one part of the keys at a time, and the memory that a call takes.

Attention over some of the keys gives an output and the logarithm of its normaliser (log-sum-exp). Two such results
merge exactly into that over both parts, whatever the parts are: `tiled_attention` merges blocks, one after the other,
and never holds the whole n × n matrix (Rabe and Staats, 2021, arXiv:2112.05682; Dao et al., 2022, arXiv:2205.14135).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from llm_tutorial.precision import widen

NEVER = -1e30  # finite: minus infinity in a row with nothing to read would give NaN, here or in the gradient


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Explicit attention and its log-sum-exp; several query heads may share a head of keys and values.

    Args:
        query: (batch, heads, queries, head_size).
        key: (batch, key_value_heads, keys, head_size); heads that share one stand next to each other.
        value: (batch, key_value_heads, keys, value_size).
        mask: True where a query may read a key; broadcasts to (batch, heads, queries, keys).
        scale: Of the scores; one over the root of head_size if not given.

    Returns:
        Output (batch, heads, queries, value_size) and log-sum-exp (batch, heads, queries); 0 and -1e30 for empty rows.
        The log-sum-exp of 16-bit tensors is float32.

    Raises:
        ValueError: The number of query heads is no multiple of that of the keys and values.

    Example:
        >>> query, key, value = torch.randn(3, 1, 2, 5, 8)
        >>> out, lse = attention(query, key, value, torch.ones(5, 5, dtype=torch.bool).tril())
        >>> torch.allclose(out[:, :, 0], value[:, :, 0])  # the first can read only itself
        True
    """
    heads, groups = query.shape[1], key.shape[1]
    if heads % groups or value.shape[1] != groups:
        raise ValueError(
            f"{heads} query heads cannot share {groups} heads of keys and {value.shape[1]} of values\n"
            f"{heads} 个查询头无法平分 {groups} 个键头和 {value.shape[1]} 个值头"
        )
    grouped = query.unflatten(1, (groups, -1))  # (batch, key_value_heads, heads of a group, queries, head_size)
    scores = widen(torch.einsum("bgrqd,bgkd->bgrqk", grouped, key)).flatten(1, 2)  # (batch, heads, queries, keys)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, NEVER)
    top = scores.amax(-1, keepdim=True)  # (batch, heads, queries, 1)
    weights = (scores - top).exp()
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)  # in an empty row, scores - top is zero
    total = weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    shares = weights.to(value.dtype).unflatten(1, (groups, -1))
    out = torch.einsum("bgrqk,bgkv->bgrqv", shares, value).flatten(1, 2) / total
    return out.to(value.dtype), (top + total.log())[..., 0]


def merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two parts of the keys as attention over both.

    Args:
        out: Over one part, (..., queries, value_size).
        lse: Its log-sum-exp, (..., queries).
        other: Over the other part, as ``out``.
        other_lse: Its log-sum-exp.

    Returns:
        Output and log-sum-exp over both parts.

    Example:
        >>> query, key, value = torch.randn(3, 1, 2, 5, 8)
        >>> near = attention(query, key[:, :, :2], value[:, :, :2])
        >>> far = attention(query, key[:, :, 2:], value[:, :, 2:])
        >>> torch.allclose(merge(*near, *far)[0], attention(query, key, value)[0], atol=1e-6)
        True
    """
    both = torch.logaddexp(lse, other_lse)
    merged = out * (lse - both).exp()[..., None] + other * (other_lse - both).exp()[..., None]
    return merged.to(out.dtype), both


def tiled_attention(
    query: Tensor, key: Tensor, value: Tensor, block_size: int = 128, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention by blocks of ``block_size`` × ``block_size`` scores, merged as they come.

    Blocks that a causal mask empties are never computed. The last query stands at the last key, as it does when
    earlier keys come out of a cache.

    Args:
        query: (batch, heads, queries, head_size).
        key: (batch, key_value_heads, keys, head_size).
        value: (batch, key_value_heads, keys, value_size).
        block_size: Queries, and keys, of a block.
        causal: A query reads no key that comes after it.

    Returns:
        Output and log-sum-exp, as those of `attention`.

    Example:
        >>> query, key, value = torch.randn(3, 1, 2, 300, 8)
        >>> whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        >>> torch.allclose(tiled_attention(query, key, value, causal=True)[0], whole, atol=1e-6)
        True
    """
    queries, keys = query.shape[2], key.shape[2]
    places = torch.arange(keys, device=query.device)
    rows = []
    for start in range(0, queries, block_size):
        block = query[:, :, start : start + block_size]
        here = keys - queries + start + torch.arange(block.shape[2], device=query.device)  # places of these queries
        result: tuple[Tensor, Tensor] | None = None
        for first in range(0, keys, block_size):
            last = first + block_size
            mask = here[:, None] >= places[first:last] if causal else None
            if mask is not None and result is not None and not mask.any():
                break
            part = attention(block, key[:, :, first:last], value[:, :, first:last], mask)
            result = merge(*result, *part) if result else (widen(part[0]), part[1])
        rows.append(result)
    outs, lses = zip(*rows, strict=True)  # type: ignore[arg-type]
    return torch.cat(outs, 2).to(value.dtype), torch.cat(lses, 2)


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most memory that a call holds at one time beyond what was there before, in bytes.

    Every allocation on the CPU is counted, those inside a kernel of torch included; nothing is sampled, so that the
    same call gives the same number with the same number of threads.

    Args:
        call: What it returns is held until the end.

    Example:
        >>> x = torch.ones(1000)
        >>> peak_bytes(lambda: (x + 1) * 2) // 1000  # the sum and the product, of 4000 bytes each
        8
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    held = most = 0
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    del result
    return most
