# %% setup
import random

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Patch
from torch.nn import functional as F

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.lora.attention import NEVER, attention, merge
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.sparse import sparse_attention
from llm_tutorial.plotting import COLOURS, heatmap, label_lines, legend, panels, use_style

torch.manual_seed(0)
use_style()

# %% paragraph
paragraph = next(line for line in people_daily("test", characters=1) if "本·阿里总统的会谈" in line.text)
text, mentions = paragraph.text, paragraph.entities
print(text)
print(*(f"{text[start:end]}/{kind}@{start}" for start, end, kind in mentions))
print(f"characters = {len(text)}")
print(f"mentions = {len(mentions)}")

# %% matrices
n = len(text)
key_names = {"阿拉法特", "突尼斯"}  # the two names that come most often
places = torch.tensor([[m.start for m in mentions if text[m.start : m.end] in key_names]])  # (1, entities)
others = [m for m in mentions if text[m.start : m.end] not in key_names]
pairs = torch.tensor([
    (query, key)
    for one in others for other in others if one.type == other.type
    for query in range(one.start, one.end) for key in range(other.start, other.end)
])[None]  # (1, pairs, 2): every character of a name with every character of a name of the same type  # fmt: skip

window = InteractionMatrix(n, block_size=16, window=1)
entities = InteractionMatrix(n, 16, 1, entities=places)
related = InteractionMatrix(n, 16, 1, entities=places, pairs=pairs)
causal = InteractionMatrix(n, 16, 1, entities=places, pairs=pairs, causal=True)

# %% picture
figure, axes = panels(2, rows=2, height=3.2)
names = ("window", "+ entities", "+ related pairs", "the same, causal")
kinds, colours = ("window", "entity", "related pair"), ("#7d8590", COLOURS[4], COLOURS[0])
for panel, matrix, name in zip(axes, (window, entities, related, causal), names, strict=True):
    heatmap(panel, matrix.kinds()[0], colours=colours)
    panel.set(title=f"{name}: {100 * matrix.share:.0f} %", xlabel="key", ylabel="query")
legend(figure, handles=[Patch(color=c, label=k) for k, c in zip(kinds, colours, strict=True)])
plt.show()

# %% counted
for name, matrix in zip(names, (window, entities, related, causal), strict=True):
    assert matrix.count() == int(matrix.mask().sum())  # counted without ever building the n × n matrix
    print(f"{name:34}{matrix.count():7,} pairs of {n * n:,}")

# %% counted_values values
print(f"kept_percent = {100 * related.share:.1f}")
print(f"related_pairs = {int((related.extra_pairs[..., 0] >= 0).sum())}")


# %% linear
def bound(n: int, b: int = 64, w: int = 1, E: int = 32, R: int = 0) -> int:
    return n * (2 * w + 1) * b + 2 * n * E + R


lengths = [256, 512, 1024, 2048, 4096, 8192, 16384]
counts = []
for length in lengths:
    matrix = InteractionMatrix(length, block_size=64, window=1, entities=torch.arange(32)[None] * length // 32)
    counts.append(matrix.count())
    assert counts[-1] <= bound(length)
    print(
        f"{length:6} tokens: {counts[-1]:10,} pairs, {counts[-1] / bound(length):.3f} of the bound, {matrix.share:8.4%} of all"
    )

# %% linear_values values
print(f"pairs_16384_over_8192 = {counts[-1] / counts[-2]:.3f}")
print(f"share_16384 = {100 * matrix.share:.2f}")

# %% share
figure, (axes,) = panels()
for E in (0, 32, 128):
    share = [min(1, bound(length, E=E) / length**2) for length in lengths]
    axes.plot(lengths, share, label=f"E = {E}")
axes.set(xscale="log", yscale="log", xlabel="n", ylabel="share of pairs kept")
axes.set_xticks(lengths, lengths)
axes.minorticks_off()
label_lines(axes)
plt.show()

# %% forms
length = 1024
matrix = InteractionMatrix(length, block_size=64, window=1, entities=torch.tensor([[5, 300, 700, 1000]]))
for size in (32, 64, 128):
    computed = 100 - float(matrix.block_mask(size).sparsity())
    print(f"flex_computes_with_{size} = {computed:.1f}")
    assert computed >= 100 * matrix.share  # a block is computed if one pair of it is kept
before = InteractionMatrix(length, 64, 1, matrix.entities, causal=True)
assert torch.equal(before.mask(), matrix.mask() & torch.ones(length, length, dtype=torch.bool).tril())
assert torch.equal(matrix.mask(), matrix.mask().mT) and not torch.equal(before.mask(), before.mask().mT)

# %% forms_values values
print(f"kept_pairs_percent = {100 * matrix.share:.1f}")


# %% window_part
def window_part(Q, K, V, dropped, b: int, w: int):
    """Q, K, V: (heads, n, d), n a multiple of b; dropped: (n,), keys that another part reads."""
    heads, n, d = Q.shape
    blocks = Q.view(heads, n // b, b, d)
    around = (0, 0, w * b, w * b)  # so that the first and the last block have neighbours too
    K, V = (F.pad(x, around).unfold(1, (2 * w + 1) * b, b).mT for x in (K, V))  # (heads, n/b, (2w+1)b, d)
    mask = F.pad(~dropped, (w * b, w * b)).unfold(0, (2 * w + 1) * b, b)[:, None]  # (n/b, 1, (2w+1)b)
    scores = (blocks @ K.mT * d**-0.5).masked_fill(~mask, NEVER)  # (heads, n/b, b, (2w+1)b): never n × n
    lse = scores.logsumexp(-1)
    out = (scores - lse[..., None]).exp() @ V
    return out.reshape(heads, n, d), lse.reshape(heads, n)


# %% gathered
def gathered(Q, K, V, entities, b: int, w: int):
    """Attention along window and entities; entities: (E,) places."""
    is_entity = torch.zeros(Q.shape[1], dtype=torch.bool).index_fill(0, entities, True)
    out, lse = window_part(Q, K, V, is_entity, b, w)
    column, column_lse = attention(Q[None], K[None, :, entities], V[None, :, entities])  # all read the entities
    out, lse = merge(out, lse, column[0], column_lse[0])
    row, _ = attention(Q[None, :, entities], K[None], V[None])  # the entities read all
    return out.index_copy(1, entities, row[0])


Q, K, V = torch.randn(3, 4, 256, 32)
places = torch.tensor([7, 60, 61, 200])
matrix = InteractionMatrix(256, block_size=32, window=1, entities=places[None])
ours = gathered(Q, K, V, places, b=32, w=1)
dense = F.scaled_dot_product_attention(Q[None], K[None], V[None], attn_mask=matrix.mask()[:, None])
library = sparse_attention(Q[None], K[None], V[None], matrix)
assert torch.allclose(ours, dense[0], atol=1e-5) and torch.allclose(ours, library[0], atol=1e-5)


# %% gradient_of_a_part
Q, K, V = torch.randn(3, 1, 2, 40, 16, dtype=torch.float64).unbind(0)
Q, K, V = (x.requires_grad_() for x in (Q, K, V))
dO = torch.randn_like(Q)
out, lse = attention(Q, K, V)  # of whole rows
expected = torch.autograd.grad(out, (Q, K, V), dO)

delta = (dO * out).sum(-1, keepdim=True)  # (1, heads, n, 1): the only thing that a part needs of the others
totals = [torch.zeros_like(x) for x in (Q, K, V)]
for part in (slice(0, 25), slice(25, 40)):  # keys of each part
    k, v = K[:, :, part], V[:, :, part]
    P = (Q @ k.mT / 4 - lse[..., None]).exp()  # this part's share of the row; 4 is the root of 16
    dS = P * (dO @ v.mT - delta)
    totals[0] += dS @ k / 4
    totals[1][:, :, part] = dS.mT @ Q / 4
    totals[2][:, :, part] = P.mT @ dO
assert all(torch.allclose(x, y) for x, y in zip(totals, expected, strict=True))


# %% random_shapes
def random_matrix(pick: random.Random) -> InteractionMatrix:
    batch, length = pick.choice([1, 2, 3]), pick.choice([1, 5, 17, 64, 100, 130])
    entities = torch.stack([torch.randperm(length)[: min(6, length)] for _ in range(batch)])
    pairs = torch.randint(0, length, (batch, 9, 2)) if pick.random() < 0.5 else None
    real = torch.rand(batch, length) < 0.8 if pick.random() < 0.5 else None  # False: padding
    return InteractionMatrix(
        length, pick.choice([1, 8, 16]), pick.choice([None, 0, 1, 2]), entities, pairs, real, pick.random() < 0.5
    )


def masked(Q, K, V, matrix):
    mask = matrix.mask()[:, None]
    empty = ~mask.any(-1, keepdim=True)  # padding reads nothing: see "What goes wrong"
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=mask | empty).masked_fill(empty, 0)


worst = 0.0
for case in range(100):
    matrix = random_matrix(random.Random(case))
    qkv = [torch.randn(matrix.batch, 2, matrix.length, 16, requires_grad=True) for _ in range(3)]
    outs = [function(*qkv, matrix) for function in (sparse_attention, masked)]
    grad = torch.randn_like(outs[0])
    sparse, dense = ([out, *torch.autograd.grad(out, qkv, grad)] for out in outs)
    worst = max(worst, *((x - y).abs().max().item() for x, y in zip(sparse, dense, strict=True)))
assert worst < 1e-5

# %% random_shapes_values values
print(f"cases = {case + 1}")

# %% everything_kept
qkv = [torch.randn(2, 4, 200, 32, requires_grad=True) for _ in range(3)]
everything = InteractionMatrix(200, block_size=64, window=3)
assert everything.share == 1
for matrix, is_causal in ((everything, False), (InteractionMatrix(200, 64, 3, causal=True), True)):
    sparse, dense = sparse_attention(*qkv, matrix), F.scaled_dot_product_attention(*qkv, is_causal=is_causal)
    assert torch.allclose(sparse, dense, atol=1e-5)
    for x, y in zip(*(torch.autograd.grad(out.square().sum(), qkv) for out in (sparse, dense)), strict=True):
        assert torch.allclose(x, y, atol=1e-4)

# %% counted_twice
Q, K, V = torch.randn(3, 4, 256, 32)
places = torch.tensor([7, 60, 61, 200])
out, lse = window_part(Q, K, V, torch.zeros(256, dtype=torch.bool), b=32, w=1)  # entities left in the window
column, column_lse = attention(Q[None], K[None, :, places], V[None, :, places])
out, _ = merge(out, lse, column[0], column_lse[0])
matrix = InteractionMatrix(256, block_size=32, window=1, entities=places[None])
dense = F.scaled_dot_product_attention(Q[None], K[None], V[None], attn_mask=matrix.mask()[:, None])[0]
ordinary = ~matrix.is_entity[0]
wrong = ((out - dense).abs().amax((0, 2)) > 1e-3) & ordinary  # (n,)
near = (torch.arange(256)[:, None] // 32 - places // 32).abs().amin(1) <= 1  # an entity in the window
assert torch.equal(wrong, near & ordinary)
print(f"rows that count an entity twice: {int(wrong.sum())} of {int(ordinary.sum())}")
