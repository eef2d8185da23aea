"""Attention over an interaction matrix: what it keeps is gathered, what it drops is never computed.

Some blocks at a time, the keys of their windows and of the entities are laid side by side, and one call of the fused
kernel attends to them. Another call gives what the entities read. Related pairs are a part of their own: its output and
the logarithm of its normaliser (log-sum-exp) merge exactly with the rest. Backwards, each part uses the normaliser of
the whole row (as in FlashAttention, Dao et al. 2022, arXiv:2205.14135). Time and memory grow linearly with the length.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.lora.attention import NEVER, merge
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.plan import Plan, once
from llm_tutorial.precision import autocast, wide, widen

SHORT = 1024  # from here on the n × n mask of a dense fall-back would be too large
FUSED_ON = ("cpu",)  # devices whose fused kernel tells its log-sum-exp; elsewhere plain matrix products

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def sparse_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    matrix: InteractionMatrix,
    entity_bias: Tensor | None = None,
    row_bias: Tensor | None = None,
    pair_bias: Tensor | None = None,
    dense_below: int | None = None,
) -> Tensor:
    """Attention over the kept pairs of an interaction matrix, equal to dense attention under its mask.

    Args:
        query: (batch, heads, length, head_size).
        key: As ``query``.
        value: As ``query``.
        matrix: Which pairs are kept.
        entity_bias: Added to the scores of tokens that read entities, (batch, heads or 1, length, entities).
        row_bias: Added to the scores of entities that read tokens, (batch, heads or 1, entities, length).
        pair_bias: Added to the scores of related pairs, (batch, heads or 1, pairs).
        dense_below: Shorter sequences go to `masked_attention`; 0 for never. If not given, those where nothing is added to
            the scores and the blocks would compute no fewer pairs than there are.

    Returns:
        (batch, heads, length, head_size); zero at padding.

    Raises:
        ValueError: Tensors whose shapes do not fit each other or the matrix.

    Example:
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch._C.Generator object at ...>
        >>> query, key, value = torch.randn(3, 1, 2, 300, 16)
        >>> matrix = InteractionMatrix(300, block_size=32, entities=torch.tensor([[7, 250]]))
        >>> dense = F.scaled_dot_product_attention(query, key, value, attn_mask=matrix.mask()[:, None])
        >>> torch.allclose(sparse_attention(query, key, value, matrix), dense, atol=1e-6)
        True
    """
    query, key, value = _checked(query, key, value, matrix)
    plan = once(Plan, matrix, len(query))
    if dense_below is None:
        plain = entity_bias is row_bias is pair_bias is None
        dense_below = SHORT if plain and plan.computed >= matrix.length**2 else 0
    if matrix.length < dense_below:
        return masked_attention(query, key, value, matrix, entity_bias, row_bias, pair_bias)
    rows = (plan.pack(each) for each in (query, key, value))  # (batch * padded length, heads, head_size)
    return plan.unpack(_Attention.apply(plan, *rows, entity_bias, row_bias, pair_bias))


def masked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    matrix: InteractionMatrix,
    entity_bias: Tensor | None = None,
    row_bias: Tensor | None = None,
    pair_bias: Tensor | None = None,
) -> Tensor:
    """Dense attention under the mask of the matrix: what `sparse_attention` gives, by way of all n² scores.

    Args:
        query: As for `sparse_attention`, and so are the others.
        key: As ``query``.
        value: As ``query``.
        matrix: Which pairs are kept.
        entity_bias: Of tokens that read entities.
        row_bias: Of entities that read tokens.
        pair_bias: Of related pairs.

    Returns:
        (batch, heads, length, head_size); zero at padding.

    Raises:
        ValueError: Tensors whose shapes do not fit each other or the matrix.
    """
    query, key, value = _checked(query, key, value, matrix)
    bias = once(_dense_bias, matrix).to(query.dtype).clamp(min=torch.finfo(query.dtype).min)  # (batch or 1, 1, n, n)
    if not (entity_bias is row_bias is pair_bias is None):
        bias = bias + scatter_biases(query, matrix, entity_bias, row_bias, pair_bias).to(bias.dtype)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return out if matrix.real is None else out * matrix.is_real[:, None, :, None]


def _checked(query: Tensor, key: Tensor, value: Tensor, matrix: InteractionMatrix) -> tuple[Tensor, Tensor, Tensor]:
    """The three after a look at their shapes; under autocast as short as it makes them for torch's own attention."""
    batch, _, length, _ = query.shape
    if key.shape != query.shape or value.shape != query.shape:
        raise ValueError(f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} differ")
    if length != matrix.length or matrix.batch not in (1, batch):
        raise ValueError(
            f"the matrix is for {matrix.batch} sequences of {matrix.length} tokens; got {batch} of {length}"
        )
    return autocast(query), autocast(key), autocast(value)


def scatter_biases(
    query: Tensor,
    matrix: InteractionMatrix,
    entity_bias: Tensor | None = None,
    row_bias: Tensor | None = None,
    pair_bias: Tensor | None = None,
) -> Tensor:
    """The biases of `sparse_attention` as dense attention adds them to its scores; zero at all other pairs.

    Args:
        query: (batch, heads, length, head_size).
        matrix: Says where the entities and the related pairs are.
        entity_bias: Of tokens that read entities.
        row_bias: Of entities that read tokens; it counts where an entity reads another.
        pair_bias: Of related pairs.

    Returns:
        (batch, heads, length, length).
    """
    batch, heads, length, _ = query.shape
    # the last row and column take what is not there
    bias = query.new_zeros(batch, heads, length + 1, length + 1, dtype=wide(query.dtype))
    entity_bias, row_bias, pair_bias = (
        x if x is None else x.to(bias.dtype) for x in (entity_bias, row_bias, pair_bias)
    )
    if matrix.entities is not None:
        at = matrix.entities.where(matrix.entities >= 0, length).expand(batch, -1)[:, None].expand(-1, heads, -1)
        if entity_bias is not None:
            read = entity_bias.masked_fill(matrix.is_entity[:, None, :, None], 0)  # what an entity reads, row_bias says
            columns = F.pad(read.expand(batch, heads, -1, -1), (0, 0, 0, 1))
            bias = bias.scatter(3, at[:, :, None].expand_as(columns), columns)
        if row_bias is not None:
            rows = F.pad(row_bias.expand(batch, heads, -1, -1), (0, 1))
            bias = bias.scatter(2, at[..., None].expand_as(rows), rows)
    if pair_bias is not None:
        pairs = matrix.extra_pairs.where(matrix.extra_pairs >= 0, length).expand(batch, -1, -1)
        code = (pairs[..., 0] * (length + 1) + pairs[..., 1])[:, None].expand(-1, heads, -1)
        bias = bias.flatten(2).scatter(2, code, pair_bias.expand(batch, heads, -1)).view_as(bias)
    return bias[..., :length, :length]


def _dense_bias(matrix: InteractionMatrix) -> Tensor:
    return torch.where(matrix.mask(), 0.0, NEVER)[:, None]


class _Attention(torch.autograd.Function):
    """Windows and entities chunk by chunk, then related pairs, then what entities read."""

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        entity_bias: Tensor | None,
        row_bias: Tensor | None,
        pair_bias: Tensor | None,
    ) -> Tensor:
        scale, precision = query.shape[-1] ** -0.5, wide(query.dtype)
        out = query.new_empty(query.shape)  # (rows, heads, size)
        lse = query.new_empty(*query.shape[:2], 1, dtype=precision)
        sources = [(x, plan.at_entities(x), plan.buffer(x)) for x in (key, value)]
        for chunk in plan.chunks(query.device):
            keys, values = (plan.keys(x, entities, chunk, buffer) for x, entities, buffer in sources)
            bias = plan.bias(entity_bias, chunk, precision)
            part = _part(plan.split(query[chunk.rows]), keys, values, bias, scale)
            for rows, some in zip((out, lse), part, strict=True):
                plan.split(rows[chunk.rows]).copy_(some)
        if len(plan.related):
            at = plan.readers
            both = merge(out[at], lse[at, :, 0], *_related(plan, query, key, value, pair_bias, scale))
            out[at], lse[at, :, 0] = both
        row_lse = None
        if plan.entities:  # last, since an entity reads everything, whatever its window
            added = plan.row_bias(row_bias, precision)
            rows, row_lse = _part(plan.at_entities(query), plan.unpack(key), plan.unpack(value), added, scale)
            rows = rows.transpose(1, 2).flatten(0, 1)  # (batch * entities, heads, size)
            out[plan.entity_rows[plan.present]] = rows[plan.present]
        if plan.real is not None:
            out.mul_(plan.real)
        ctx.plan, ctx.scale = plan, scale
        ctx.save_for_backward(query, key, value, entity_bias, row_bias, pair_bias, out, lse, row_lse)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        plan, scale, (grad,) = ctx.plan, ctx.scale, grads
        query, key, value, entity_bias, row_bias, pair_bias, out, lse, row_lse = ctx.saved_tensors
        *_, wants_entity, wants_row, _ = ctx.needs_input_grad
        precision, rows = wide(query.dtype), plan.before + len(query) + plan.after
        d_query = query.new_empty(query.shape, dtype=precision)
        totals = [query.new_zeros(rows, *query.shape[1:], dtype=precision) for _ in range(2)]
        sources = [(x, plan.at_entities(x), plan.buffer(x)) for x in (key, value)]
        read = [torch.zeros_like(entities, dtype=precision) for _, entities, _ in sources]
        d_scores: list[Any] = []
        row_grad: Tensor | None = None
        pair_grad: Tensor | None = None
        for chunk in plan.chunks(query.device):
            keys, values = (plan.keys(x, entities, chunk, buffer) for x, entities, buffer in sources)
            bias = plan.bias(entity_bias, chunk, precision)
            own = torch.where(plan.ordinary[chunk.rows], grad[chunk.rows], 0)
            some = [plan.split(x) for x in (query[chunk.rows], own, out[chunk.rows], lse[chunk.rows])]
            wanted = plan.entities if wants_entity else 0
            part = _part_backward(some[0], some[1], some[2], some[3], keys, values, bias, scale, wanted)
            plan.split(d_query[chunk.rows]).copy_(part[0])
            for total, entities, each in zip(totals, read, part[1:3], strict=True):
                plan.fold(total, entities, each, chunk)
            d_scores.append(part[3])
        d_key, d_value = (total[plan.before : plan.before + len(query)] for total in totals)
        if len(plan.related):
            d_rows = (d_query, d_key, d_value)
            pair_grad = _related_backward(plan, d_rows, query, key, value, pair_bias, grad, out, lse, scale)
        if plan.entities:
            own = plan.at_entities(grad).masked_fill(~plan.there, 0)
            added, wanted = plan.row_bias(row_bias, precision), plan.length if wants_row else 0
            all_keys, all_values = plan.unpack(key), plan.unpack(value)
            at = plan.at_entities(query), own, plan.at_entities(out), row_lse
            part = _part_backward(at[0], at[1], at[2], at[3], all_keys, all_values, added, scale, wanted)
            row_grad = part[3]
            for total, each in zip((d_key, d_value), part[1:3], strict=True):
                plan.unpack(total).add_(each)
            for total, each in ((d_query, part[0]), (d_key, read[0]), (d_value, read[1])):
                total.index_add_(0, plan.entity_rows, each.transpose(1, 2).flatten(0, 1).to(precision))
        entity_grad = plan.bias_grad(d_scores) if wants_entity and plan.entities else None
        biases = ((entity_bias, entity_grad), (row_bias, row_grad), (pair_bias, pair_grad))
        short = (each.to(query.dtype) for each in (d_query, d_key, d_value))
        return None, *short, *(_like(bias, each) for bias, each in biases)


def _part(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Attention of all queries to all keys (batch, heads, length, size), and its log-sum-exp (…, query, 1)."""
    if query.device.type in FUSED_ON:
        out, lse = _flash(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
        return out, lse[..., None]
    scores = widen(query @ key.mT).mul_(scale)
    if bias is not None:
        scores += bias
    lse = scores.logsumexp(-1, keepdim=True)
    return scores.sub_(lse).exp_().to(value.dtype) @ value, lse


def _part_backward(
    query: Tensor,
    grad: Tensor,
    out: Tensor,
    lse: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    scale: float,
    wanted: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of one part, given the output and the log-sum-exp of whole rows; of its last ``wanted`` scores, too."""
    fused: tuple[Tensor, Tensor, Tensor] | None = None
    if query.device.type in FUSED_ON:
        rest = (key, value, out, lse[..., 0], 0.0, False)
        fused = _flash_backward(grad, query, *rest, attn_mask=bias, scale=scale)
        if not wanted:
            return *fused, None
        key, value = key[:, :, -wanted:], value[:, :, -wanted:]
        bias = None if bias is None else bias[..., -wanted:]
    scores = widen(query @ key.mT).mul_(scale)
    if bias is not None:
        scores += bias
    weights = scores.sub_(lse).exp_()
    d_scores = widen(grad @ value.mT).sub_((widen(grad) * out).sum(-1, keepdim=True)).mul_(weights)
    if fused:
        return *fused, d_scores
    read = d_scores[..., d_scores.shape[-1] - wanted :]
    short, weights = d_scores.to(key.dtype), weights.to(grad.dtype)
    return (short @ key).mul_(scale), (short.mT @ query).mul_(scale), weights.mT @ grad, read


def _related(
    plan: Plan, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """What the related pairs alone say to their readers, (readers, heads, size), and its log-sum-exp."""
    scores, at = _pair_scores(plan, query, key, bias, scale), plan.reader_index
    shape = len(plan.readers), scores.shape[1]
    top = scores.new_full(shape, NEVER).scatter_reduce(0, at[:, None].expand_as(scores), scores, "amax")
    weights = (scores - top[at]).exp()  # (pairs, heads)
    total = scores.new_zeros(shape).index_add(0, at, weights)
    out = scores.new_zeros(*shape, query.shape[2]).index_add(0, at, weights[..., None] * value[plan.read])
    return out / total[..., None], top + total.log()


def _related_backward(
    plan: Plan,
    totals: tuple[Tensor, Tensor, Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    grad: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
) -> Tensor:
    """Adds the gradients of the related pairs to those of the rows; returns those of their scores."""
    at, to = plan.reader, plan.read
    weights = (_pair_scores(plan, query, key, bias, scale) - lse[at, :, 0]).exp()[..., None]  # (pairs, heads, 1)
    d_scores = weights * (grad[at] * (value[to] - out[at])).sum(-1, keepdim=True)
    for total, where, some in (
        (totals[0], at, d_scores * key[to] * scale),
        (totals[1], to, d_scores * query[at] * scale),
        (totals[2], to, weights * grad[at]),
    ):
        total.index_add_(0, where, some)
    every = d_scores.new_zeros(plan.pairs * plan.batch, query.shape[1]).index_copy(0, plan.related, d_scores[..., 0])
    return every.unflatten(0, (plan.batch, -1)).transpose(1, 2)  # (batch, heads, pairs)


def _pair_scores(plan: Plan, query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Scores of the related pairs, (pairs, heads)."""
    scores = (widen(query[plan.reader]) * key[plan.read]).sum(-1) * scale
    if bias is None:
        return scores
    return scores + bias.expand(plan.batch, -1, -1).transpose(1, 2).flatten(0, 1)[plan.related]


def _like(bias: Tensor | None, grad: Tensor | None) -> Tensor | None:
    """A gradient summed over the dimensions that its bias was broadcast over."""
    return None if bias is None or grad is None else grad.sum_to_size(bias.shape).to(bias.dtype)
