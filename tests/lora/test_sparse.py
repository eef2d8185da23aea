"""Sparse attention is dense attention under the mask of its matrix, whatever the matrix."""

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.lora.interaction import ENTITY, InteractionMatrix
from llm_tutorial.lora.plan import Plan
from llm_tutorial.lora.sparse import masked_attention
from llm_tutorial.lora.sparse import sparse_attention as any_attention

sparse_attention = partial(any_attention, dense_below=0)  # by blocks, however short the sequence is


def random_matrix(pick: random.Random) -> tuple[InteractionMatrix, int]:
    """A matrix of any kind, and a batch size that goes with it."""
    batch, length = pick.choice([1, 2, 3]), pick.choice([1, 2, 5, 17, 64, 100, 130])
    count = pick.choice([None, 0, 1, min(6, length)])
    entities = pairs = real = None
    if count is not None:
        entities = torch.stack([torch.randperm(length)[:count] for _ in range(batch)])
        entities = entities.where(torch.rand(entities.shape) > 0.2, -1)
    if pick.random() < 0.6:
        pairs = torch.randint(0, length, (batch, 7, 2)).where(torch.rand(batch, 7, 1) > 0.2, -1)
    if pick.random() < 0.5:
        real = torch.rand(batch, length) < 0.8
    window = pick.choice([None, 0, 1, 2])
    block_size = pick.choice([1, 2, 8, 16, 64])
    return InteractionMatrix(length, block_size, window, entities, pairs, real, causal=pick.random() < 0.5), batch


def random_biases(matrix: InteractionMatrix, batch: int, heads: int) -> dict[str, Tensor]:
    biases = {}
    if matrix.entities is not None and matrix.entities.shape[1]:
        count = matrix.entities.shape[1]
        biases["entity_bias"] = torch.randn(batch, heads, matrix.length, count, dtype=torch.float64)
        biases["row_bias"] = torch.randn(batch, 1, count, matrix.length, dtype=torch.float64)
    if matrix.pairs is not None:
        biases["pair_bias"] = torch.randn(batch, heads, matrix.pairs.shape[1], dtype=torch.float64)
    return {name: bias.requires_grad_() for name, bias in biases.items()}


def dense_attention(
    query: Tensor, key: Tensor, value: Tensor, matrix: InteractionMatrix, biases: dict[str, Tensor]
) -> Tensor:
    """The reference: n × n scores, entry by entry."""
    batch, heads, length, _ = query.shape
    mask = matrix.mask().expand(batch, length, length)
    bias = torch.zeros(batch, heads, length, length, dtype=query.dtype)
    if "entity_bias" in biases:
        for sequence, row in enumerate(matrix.entities.tolist()):
            for index, place in enumerate(row):
                if place >= 0:
                    bias[sequence, :, :, place] += biases["entity_bias"][sequence, :, :, index]
        for sequence, row in enumerate(matrix.entities.tolist()):
            for index, place in enumerate(row):
                if place >= 0:
                    bias[sequence, :, place] = biases["row_bias"][sequence, :, index]
    if "pair_bias" in biases:
        for sequence, row in enumerate(matrix.extra_pairs.tolist()):
            for index, (at, to) in enumerate(row):
                if at >= 0:
                    bias[sequence, :, at, to] += biases["pair_bias"][sequence, :, index]
    empty = ~mask.any(-1)[:, None, :, None]
    bias = bias.masked_fill(~(mask[:, None] | empty), -torch.inf)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).masked_fill(empty, 0)


def test_what_entities_read_is_biased_by_the_bias_of_their_rows_alone() -> None:
    matrix = InteractionMatrix(40, 8, 1, entities=torch.tensor([[3, 30]]))
    query, key, value = torch.randn(3, 1, 2, 40, 8)
    bias = torch.randn(1, 1, 40, 2)
    sparse, dense = (attend(query, key, value, matrix, bias) for attend in (sparse_attention, masked_attention))
    torch.testing.assert_close(sparse, dense, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(60))
def test_outputs_and_gradients_are_those_of_dense_attention_under_the_mask(seed: int) -> None:
    pick = random.Random(seed)
    torch.manual_seed(seed)
    matrix, batch = random_matrix(pick)
    heads, size = pick.choice([1, 2, 4]), pick.choice([4, 8, 16])
    qkv = [torch.randn(batch, heads, matrix.length, size, dtype=torch.float64).requires_grad_() for _ in range(3)]
    biases = random_biases(matrix, batch, heads) if pick.random() < 0.6 else {}
    dense, sparse = dense_attention(*qkv, matrix, biases), sparse_attention(*qkv, matrix, **biases)
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(masked_attention(*qkv, matrix, **biases), dense)
    torch.testing.assert_close(any_attention(*qkv, matrix, **biases), dense)
    inputs, grad = [*qkv, *biases.values()], torch.randn_like(dense)
    expected = torch.autograd.grad(dense, inputs, grad, allow_unused=True)
    got = torch.autograd.grad(sparse, inputs, grad, allow_unused=True)
    for ours, theirs, tensor in zip(got, expected, inputs, strict=True):
        zero = torch.zeros_like(tensor)  # where nobody reads, there is no gradient
        torch.testing.assert_close(zero if ours is None else ours, zero if theirs is None else theirs)


@pytest.mark.parametrize("length", [5, 64, 200])
def test_everything_kept_is_plain_attention(length: int) -> None:
    query, key, value = torch.randn(3, 2, 4, length, 32)
    everything = InteractionMatrix(length, block_size=64, window=4)
    assert everything.share == 1
    plain = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(sparse_attention(query, key, value, everything), plain, atol=1e-5, rtol=1e-5)
    causal = InteractionMatrix(length, block_size=64, window=4, causal=True)
    plain = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(sparse_attention(query, key, value, causal), plain, atol=1e-5, rtol=1e-5)


def test_other_devices_take_the_explicit_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_tutorial.lora import sparse

    matrix = InteractionMatrix(150, block_size=16, entities=torch.tensor([[3, 80, -1]]))
    inputs = [torch.randn(1, 2, 150, 8, dtype=torch.float64).requires_grad_() for _ in range(3)]
    fused = sparse_attention(*inputs, matrix)
    grad = torch.randn_like(fused)
    fused_grads = torch.autograd.grad(fused, inputs, grad)
    monkeypatch.setattr(sparse, "FUSED_ON", ())
    explicit = sparse_attention(*inputs, matrix)
    torch.testing.assert_close(explicit, fused)
    for one, other in zip(torch.autograd.grad(explicit, inputs, grad), fused_grads, strict=True):
        torch.testing.assert_close(one, other)


def test_short_sequences_go_to_dense_attention_where_blocks_would_compute_no_fewer_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from llm_tutorial.lora import sparse

    taken: list[int] = []
    monkeypatch.setattr(sparse, "masked_attention", lambda query, *_: taken.append(query.shape[2]))
    for length in (64, 256, 512, 4096):
        matrix = InteractionMatrix(length, entities=torch.arange(32)[None])
        inputs = torch.randn(3, 1, 1, length, 8)
        any_attention(*inputs, matrix)
        any_attention(*inputs, matrix, entity_bias=torch.zeros(1, 1, length, 32))
        any_attention(*inputs, matrix, dense_below=0)
    assert taken == [64, 256]
    any_attention(*inputs, matrix, dense_below=5000)
    assert taken[-1] == 4096


def test_blocks_compute_at_least_the_pairs_that_are_kept() -> None:
    for seed in range(30):
        torch.manual_seed(seed)
        matrix, batch = random_matrix(random.Random(seed))
        related = int((matrix.extra_pairs[..., 0] >= 0).sum())
        assert Plan(matrix, batch).computed * matrix.batch + related >= matrix.count()


def test_what_inference_made_first_serves_training_too() -> None:
    matrix = InteractionMatrix(300, 32, entities=torch.tensor([[7, 250]]))
    inputs = [torch.randn(1, 2, 300, 8) for _ in range(3)]
    with torch.inference_mode():
        before = sparse_attention(*inputs, matrix)
    after = sparse_attention(*(x.requires_grad_() for x in inputs), matrix)
    after.sum().backward()
    assert torch.equal(before, after)
    assert all(x.grad.isfinite().all() for x in inputs)


def test_padding_reads_as_zero_and_changes_nothing_before_it() -> None:
    query, key, value = torch.randn(3, 1, 2, 40, 8)
    entities = torch.tensor([[2, 20]])
    short = sparse_attention(*(x[:, :, :30] for x in (query, key, value)), InteractionMatrix(30, 8, entities=entities))
    padded = InteractionMatrix(40, 8, entities=entities, real=torch.arange(40)[None] < 30)
    out = sparse_attention(query, key, value, padded)
    torch.testing.assert_close(out[:, :, :30], short)
    assert not out[:, :, 30:].any()


def test_a_sequence_of_padding_alone_gives_zeros_and_finite_gradients() -> None:
    inputs = [torch.randn(2, 1, 9, 4).requires_grad_() for _ in range(3)]
    real = torch.tensor([[True] * 9, [False] * 9])
    matrix = InteractionMatrix(9, 4, entities=torch.tensor([[1], [1]]), pairs=torch.tensor([[[8, 0]]] * 2), real=real)
    out = sparse_attention(*inputs, matrix)
    assert not out[1].any()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), inputs))


def test_no_token_reads_the_future_of_a_causal_matrix() -> None:
    matrix = InteractionMatrix(50, 8, entities=torch.tensor([[4, 30]]), causal=True)
    query, key, value = torch.randn(3, 1, 2, 50, 8)
    before = sparse_attention(query, key, value, matrix)
    key[:, :, 25:] += 1
    value[:, :, 25:] += 1
    after = sparse_attention(query, key, value, matrix)
    assert torch.equal(before[:, :, :25], after[:, :, :25])
    assert not torch.allclose(before[:, :, 25:], after[:, :, 25:])


@pytest.mark.parametrize("seed", range(40))
def test_pairs_are_counted_without_the_matrix(seed: int) -> None:
    torch.manual_seed(seed)
    matrix, _ = random_matrix(random.Random(seed))
    assert matrix.count() == int(matrix.mask().sum())


def test_flex_attention_gets_the_same_mask() -> None:
    from torch.nn.attention.flex_attention import create_mask

    entities = torch.tensor([[3, 90], [50, -1]])
    for causal in (False, True):
        matrix = InteractionMatrix(100, 16, entities=entities, real=torch.rand(2, 100) < 0.9, causal=causal)
        assert torch.equal(create_mask(matrix.mask_mod(), 2, None, 100, 100, "cpu")[:, 0], matrix.mask())


def test_a_related_pair_that_is_kept_already_is_kept_once() -> None:
    pairs = torch.tensor([[[9, 1], [9, 1], [1, 2], [9, 5], [4, 4]]])
    matrix = InteractionMatrix(12, 4, window=0, entities=torch.tensor([[5]]), pairs=pairs)
    assert matrix.extra_pairs.tolist() == [[[9, 1], [-1, -1], [-1, -1], [-1, -1], [-1, -1]]]
    assert matrix.kinds()[0, 9, 5] == ENTITY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "at least 1"),
        ({"length": 9, "window": -1}, "0 or more, or None"),
        ({"length": 9, "entities": torch.tensor([[9]])}, r"positions from 9 to 9; they must be in 0 … 8"),
        ({"length": 9, "entities": torch.tensor([3])}, "must have the shape"),
        ({"length": 9, "entities": torch.tensor([[3, 3]])}, "twice"),
        ({"length": 2, "entities": torch.tensor([[0, 1, -1]])}, "3 entities among 2 tokens"),
        ({"length": 9, "pairs": torch.tensor([[[0, 12]]])}, "pairs has positions"),
        ({"length": 9, "real": torch.ones(1, 8)}, r"real must have the shape \(batch, 9\)"),
        ({"length": 9, "entities": torch.tensor([[1]]), "real": torch.ones(2, 9)}, "different sizes"),
    ],
)
def test_a_wrong_matrix_says_what_is_wrong(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InteractionMatrix(**arguments)


def test_shapes_that_do_not_fit_say_so() -> None:
    query = torch.randn(2, 1, 9, 4)
    with pytest.raises(ValueError, match="differ"):
        sparse_attention(query, query[:, :, :8], query, InteractionMatrix(9))
    with pytest.raises(ValueError, match="3 sequences of 9 tokens; got 2 of 9"):
        sparse_attention(query, query, query, InteractionMatrix(9, real=torch.ones(3, 9)))


def test_a_matrix_without_positions_is_where_it_is_told_to_be() -> None:
    assert InteractionMatrix(9).device == torch.device("cpu")
    elsewhere = InteractionMatrix(9, device=torch.device("meta"))
    assert {elsewhere.is_real.device, elsewhere.is_entity.device, elsewhere.extra_pairs.device} == {elsewhere.device}
