"""Attention over an interaction matrix: what it keeps is gathered, what it drops is never computed.

The softmax of a row runs over up to three parts: the window of its block, the entities, the related pairs. Each part
gives an output and the logarithm of its normaliser (log-sum-exp), from which the parts merge exactly, without being
laid side by side (as in FlashAttention, Dao et al. 2022, arXiv:2205.14135). Backwards, each part uses the normaliser
of the whole row. Time and memory grow linearly with the length.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.lora.attention import NEVER, merge
from llm_tutorial.lora.interaction import InteractionMatrix

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
    batch, _, length, _ = query.shape
    if key.shape != query.shape or value.shape != query.shape:
        raise ValueError(f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} differ")
    if length != matrix.length or matrix.batch not in (1, batch):
        raise ValueError(
            f"the matrix is for {matrix.batch} sequences of {matrix.length} tokens; got {batch} of {length}"
        )
    plan = _Plan(matrix, batch)
    biases = [plan.entity_bias(entity_bias), plan.row_bias(row_bias), pair_bias]
    packed = (plan.pack(each) for each in (query, key, value))  # (batch, padded length, heads, head_size)
    out = _Attention.apply(plan, *packed, *biases)
    return out[:, :length].transpose(1, 2)


class _Plan:
    """Positions and masks of a matrix, laid out for blocks."""

    def __init__(self, matrix: InteractionMatrix, batch: int) -> None:
        self.matrix, self.batch = matrix, batch
        self.block = matrix.block_size if matrix.window is not None else 1
        self.pad = -matrix.length % self.block
        self.before = (matrix.window or 0) * self.block
        self.after = 0 if matrix.causal else self.before
        self.width = self.before + self.block + self.after
        none = torch.empty(1, 0, dtype=torch.long, device=matrix.device)
        self.entities = (none if matrix.entities is None else matrix.entities).expand(batch, -1)
        self.places = self.entities.clamp(min=0)
        self.pairs = matrix.extra_pairs.expand(batch, -1, -1)
        self.real = matrix.is_real.expand(batch, -1)
        self.local = (matrix.is_real & ~matrix.is_entity).expand(batch, -1)  # keys that the window reads
        self.has_entities, self.has_pairs = self.entities.shape[1] > 0, bool((self.pairs >= 0).any())
        self.has_padding = matrix.real is not None

    def pack(self, x: Tensor) -> Tensor:
        """(batch, heads, length, size) to (batch, whole blocks, heads, size); a view where it can be one."""
        x = x.transpose(1, 2)
        return F.pad(x, (0, 0, 0, 0, 0, self.pad)) if self.pad else x.contiguous()

    def windows(self, x: Tensor) -> Tensor:
        """Keys or values of each block's window, (batch * blocks, heads, width, size): overlapping views of ``x``."""
        batch, length, heads, size = x.shape
        padded = F.pad(x.reshape(batch * length, heads, size), (0, 0, 0, 0, self.before, self.after))
        step = heads * size
        return padded.as_strided(
            (batch * length // self.block, heads, self.width, size), (self.block * step, size, step, 1)
        )

    def fold(self, windows: Tensor, batch: int) -> Tensor:
        """Sums what the windows say about each token: the transpose of ``windows``."""
        count, heads, _, size = windows.shape
        parts = windows.transpose(1, 2).unflatten(1, (-1, self.block))  # (batch * blocks, blocks of a window, block, …)
        back = self.before // self.block
        total = parts[:, back].clone(memory_format=torch.contiguous_format)  # (batch * blocks, block, heads, size)
        for index in range(parts.shape[1]):
            shift = index - back
            if shift < 0:
                total[:shift] += parts[-shift:, index]
            elif shift > 0:
                total[shift:] += parts[:-shift, index]
        return total.reshape(batch, count // batch * self.block, heads, size)

    def blocks(self, x: Tensor) -> Tensor:
        """(batch, length, heads, size) as (batch * blocks, heads, block, size), a view."""
        return x.reshape(-1, self.block, *x.shape[2:]).transpose(1, 2)

    def window_mask(self) -> Tensor:
        """What is added to the scores of a window, (batch * blocks, 1, block, width)."""
        local = F.pad(self.local, (self.before, self.after + self.pad)).unfold(1, self.width, self.block)
        mask = torch.where(local, 0.0, NEVER).flatten(0, 1)[:, None, None]  # (batch * blocks, 1, 1, width)
        mask = mask.expand(-1, -1, self.block, -1)
        if self.matrix.causal:
            later = torch.ones(self.block, self.width, dtype=torch.bool, device=mask.device).triu(self.before + 1)
            mask = mask.masked_fill(later, NEVER)
        return mask

    def entity_bias(self, bias: Tensor | None) -> Tensor | None:
        """Scores of tokens that read entities: the given bias, and NEVER where a pair is dropped."""
        if not self.has_entities:
            return None
        dropped = ~((self.entities >= 0) & self.real.gather(1, self.places))[:, None]  # (batch, 1, entities)
        if self.matrix.causal:
            dropped = dropped | (self._places() < self.entities[:, None])
        elif bias is None and not dropped.any():
            return None
        bias = torch.where(dropped[:, None], NEVER, 0.0 if bias is None else bias)
        return F.pad(bias, (0, 0, 0, self.pad)) if self.pad and bias.shape[2] > 1 else bias

    def row_bias(self, bias: Tensor | None) -> Tensor | None:
        """Scores of entities that read tokens: the given bias, and NEVER where a pair is dropped."""
        if not self.has_entities or (bias is None and not (self.pad or self.has_padding or self.matrix.causal)):
            return None
        dropped = ~self.real[:, None]  # (batch, 1, length)
        if self.matrix.causal:
            dropped = dropped | (self._places()[..., 0] > self.entities[:, :, None])
        bias = torch.where(dropped[:, None], NEVER, 0.0 if bias is None else bias)
        return F.pad(bias, (0, self.pad), value=NEVER) if self.pad else bias

    def _places(self) -> Tensor:
        return torch.arange(self.matrix.length, device=self.real.device)[None, :, None]


class _Attention(torch.autograd.Function):
    """The parts of a row's softmax, merged by their log-sum-exp."""

    @staticmethod
    def forward(
        ctx: Any,
        plan: _Plan,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        entity_bias: Tensor | None,
        row_bias: Tensor | None,
        pair_bias: Tensor | None,
    ) -> Tensor:
        scale = query.shape[-1] ** -0.5
        out, lse = _window(plan, query, key, value, scale)  # (batch, length, heads, size), (batch, length, heads)
        if plan.has_entities:
            scores = _scores(query, _take(key, plan.places), entity_bias, scale)
            lse = _merge_in_place(out, lse, scores, _take(value, plan.places))
        if plan.has_pairs:
            out, lse = merge(out, lse, *_related(plan, query, key, value, pair_bias, scale))
        if plan.has_entities:  # last, since an entity reads everything, whatever its window
            rows, row_lse = _part(_take(query, plan.places), key, value, row_bias, scale)
            _put(out, plan, rows)
            ctx.row_lse = row_lse
        if plan.has_padding:
            out.mul_(F.pad(plan.real, (0, plan.pad))[:, :, None, None])
        ctx.plan, ctx.scale = plan, scale
        ctx.save_for_backward(query, key, value, entity_bias, row_bias, pair_bias, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        plan, scale = ctx.plan, ctx.scale
        query, key, value, entity_bias, row_bias, pair_bias, out, lse = ctx.saved_tensors
        grad = grads[0].contiguous()
        if plan.has_padding:
            grad = grad * F.pad(plan.real, (0, plan.pad))[:, :, None, None]
        row_grad = entity_grad = pair_grad = None
        if plan.has_entities:
            rows, rows_grad = _take(out, plan.places), _take(grad, plan.places)
            rows_grad = rows_grad * (plan.entities >= 0)[:, :, None, None]
            grad = _put(grad.clone(), plan, torch.zeros_like(rows))  # what an entity reads, it reads in its row
        d_query, d_key, d_value = _window_backward(plan, grad, query, key, value, out, lse, scale)
        if plan.has_entities:
            parts = (_take(query, plan.places), key, value, row_bias, rows_grad, rows, ctx.row_lse, scale)
            read_query, all_keys, all_values, row_grad = _part_backward(*parts)
            d_key += all_keys
            d_value += all_values
            parts = (query, *(_take(x, plan.places) for x in (key, value)), entity_bias, grad, out, lse, scale)
            all_queries, read_keys, read_values, entity_grad = _part_backward(*parts)
            d_query += all_queries
            for total, read in ((d_query, read_query), (d_key, read_keys), (d_value, read_values)):
                _add(total, plan, read)
        if plan.has_pairs:
            totals = (d_query, d_key, d_value)
            pair_grad = _related_backward(plan, totals, query, key, value, pair_bias, grad, out, lse, scale)
        return (
            None,
            d_query,
            d_key,
            d_value,
            *(
                _like(bias, each)
                for bias, each in ((entity_bias, entity_grad), (row_bias, row_grad), (pair_bias, pair_grad))
            ),
        )


def _scores(query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Scores (batch, heads, query, key) of queries and keys (batch, length, heads, size)."""
    scores = (query.transpose(1, 2) @ key.permute(0, 2, 3, 1)).mul_(scale)
    return scores if bias is None else scores.add_(bias)


def _merge_in_place(out: Tensor, lse: Tensor, scores: Tensor, value: Tensor) -> Tensor:
    """As ``merge``, but adds the part to ``out`` itself: one pass over it less. Returns the log-sum-exp of both."""
    both = torch.logaddexp(lse, scores.logsumexp(-1).transpose(1, 2))
    weights = scores.sub_(both.transpose(1, 2)[..., None]).exp_()  # (batch, heads, query, key)
    out.mul_((lse - both).exp_()[..., None]).add_((weights @ value.transpose(1, 2)).transpose(1, 2))
    return both


def _part(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Attention of all queries to all keys, (batch, length, heads, size) each, and its log-sum-exp."""
    scores = _scores(query, key, bias, scale)
    lse = scores.logsumexp(-1)
    out = scores.sub_(lse[..., None]).exp_() @ value.transpose(1, 2)
    return out.transpose(1, 2), lse.transpose(1, 2)


def _part_backward(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, grad: Tensor, out: Tensor, lse: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of one part, given the output and the log-sum-exp of whole rows."""
    query, key, value, grad, out = (x.transpose(1, 2) for x in (query, key, value, grad, out))
    scores = (query @ key.mT).mul_(scale)
    if bias is not None:
        scores.add_(bias)
    weights = scores.sub_(lse.transpose(1, 2)[..., None]).exp_()  # (batch, heads, query, key)
    d_value = weights.mT @ grad
    d_scores = (grad @ value.mT).sub_((grad * out).sum(-1, keepdim=True)).mul_(weights)
    d_query, d_key = (d_scores @ key).mul_(scale), (d_scores.mT @ query).mul_(scale)
    return d_query.transpose(1, 2), d_key.transpose(1, 2), d_value.transpose(1, 2), d_scores


def _window(plan: _Plan, query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if plan.matrix.window is None:  # each token itself
        lse = (query * key).sum(-1) * scale + torch.where(plan.local, 0.0, NEVER)[..., None]
        return value.clone(), lse
    blocks = (plan.blocks(query), plan.windows(key), plan.windows(value))
    if query.device.type in FUSED_ON:
        out, lse = _flash(*blocks, 0.0, False, attn_mask=plan.window_mask().to(query.dtype), scale=scale)
        return out.transpose(1, 2).reshape(query.shape), lse.transpose(1, 2).reshape(query.shape[:3])
    query_blocks, keys, values = (x.transpose(1, 2) for x in blocks)
    out, lse = _part(query_blocks, keys, values, plan.window_mask(), scale)
    return out.reshape(query.shape), lse.reshape(query.shape[:3])


def _window_backward(
    plan: _Plan, grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    if plan.matrix.window is None:
        own = (query * key).sum(-1) * scale + torch.where(plan.local, 0.0, NEVER)[..., None]
        weights = (own - lse).exp()[..., None]  # (batch, length, heads, 1)
        d_scores = weights * ((grad * value).sum(-1) - (grad * out).sum(-1))[..., None] * scale
        return d_scores * key, d_scores * query, weights * grad
    blocks = (plan.blocks(query), plan.windows(key), plan.windows(value))
    mask, lse = plan.window_mask().to(query.dtype), plan.blocks(lse[..., None])[..., 0]
    if query.device.type in FUSED_ON:
        parts = _flash_backward(
            plan.blocks(grad), *blocks, plan.blocks(out), lse, 0.0, False, attn_mask=mask, scale=scale
        )
    else:
        query_blocks, keys, values = (x.transpose(1, 2) for x in blocks)
        grad, out, lse = (x.transpose(1, 2) for x in (plan.blocks(grad), plan.blocks(out), lse))
        grads = _part_backward(query_blocks, keys, values, mask, grad, out, lse, scale)
        parts = [x.transpose(1, 2) for x in grads[:3]]
    d_query = parts[0].transpose(1, 2).reshape(query.shape)
    return d_query, plan.fold(parts[1], len(query)), plan.fold(parts[2], len(query))


def _related(
    plan: _Plan, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    scores = _pair_scores(plan, query, key, bias, scale)  # (batch, pairs, heads)
    rows = _index(plan.pairs[..., 0].clamp(min=0), scores)
    top = torch.full(query.shape[:3], NEVER, dtype=scores.dtype, device=scores.device)
    top = top.scatter_reduce(1, rows, scores, "amax")
    weights = (scores - top.gather(1, rows)).where(plan.pairs[..., :1] >= 0, NEVER).exp()
    total = torch.zeros_like(top).scatter_add(1, rows, weights)
    values = weights[..., None] * _take(value, plan.pairs[..., 1].clamp(min=0))
    out = torch.zeros_like(query).scatter_add(1, _index(plan.pairs[..., 0].clamp(min=0), values), values)
    some = total > 0
    safe = total.where(some, 1)
    return out / safe[..., None], torch.where(some, top + safe.log(), NEVER)


def _related_backward(
    plan: _Plan,
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
    d_query, d_key, d_value = totals
    at, to = plan.pairs.clamp(min=0).unbind(-1)
    scores = _pair_scores(plan, query, key, bias, scale)
    apart = scores - _take(lse[..., None], at)[..., 0]  # (batch, pairs, heads)
    weights = apart.where(plan.pairs[..., :1] >= 0, NEVER).exp()
    grads = _take(grad, at)
    delta = (grads * (_take(value, to) - _take(out, at))).sum(-1)
    d_scores = weights * delta
    shape = _index(at, grads), _index(to, grads)
    d_query.scatter_add_(1, shape[0], d_scores[..., None] * _take(key, to) * scale)
    d_key.scatter_add_(1, shape[1], d_scores[..., None] * _take(query, at) * scale)
    d_value.scatter_add_(1, shape[1], weights[..., None] * grads)
    return d_scores.transpose(1, 2)


def _pair_scores(plan: _Plan, query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    at, to = plan.pairs.clamp(min=0).unbind(-1)
    scores = (_take(query, at) * _take(key, to)).sum(-1) * scale
    return scores if bias is None else scores + bias.transpose(1, 2)


def _index(places: Tensor, like: Tensor) -> Tensor:
    """Places (batch, k) as an index into dimension 1 of a tensor shaped (batch, k, …)."""
    return places.view(*places.shape, *[1] * (like.ndim - 2)).expand_as(like)


def _take(x: Tensor, places: Tensor) -> Tensor:
    """Rows (batch, k, heads, size) of ``x`` at places (batch, k)."""
    return x.gather(1, places[:, :, None, None].expand(-1, -1, *x.shape[2:]))


def _put(x: Tensor, plan: _Plan, rows: Tensor) -> Tensor:
    """Writes rows at the entities' places, those that are there."""
    sequence, entity = (plan.entities >= 0).nonzero(as_tuple=True)
    x[sequence, plan.places[sequence, entity]] = rows[sequence, entity]
    return x


def _add(x: Tensor, plan: _Plan, rows: Tensor) -> None:
    """Adds rows at the entities' places; of those that are not there the rows are zero."""
    x.scatter_add_(1, _index(plan.places, rows), rows)


def _like(bias: Tensor | None, grad: Tensor | None) -> Tensor | None:
    """A gradient summed over the dimensions that its bias was broadcast over."""
    return None if bias is None or grad is None else grad.sum_to_size(bias.shape)
