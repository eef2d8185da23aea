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
from llm_tutorial.plotting import (
    COLOURS,
    heatmap,
    label_lines,
    legend,
    panels,
    use_style,
)

torch.manual_seed(0)
use_style()

# %% paragraph
lines = people_daily("test", characters=1)
paragraph = next(line for line in lines if "本·阿里总统的会谈" in line.text)
text, mentions = paragraph.text, paragraph.entities
print(text)
print(*(f"{text[start:end]}/{kind}@{start}" for start, end, kind in mentions))
print(f"characters = {len(text)}")
print(f"mentions = {len(mentions)}")

# %% matrices
n = len(text)
key_names = {"阿拉法特", "突尼斯"}  # the two names that come most often
starts = [m.start for m in mentions if text[m.start : m.end] in key_names]
places = torch.tensor([starts])  # (1, entities)

# every character of another name with every character of one of the same type
others = [m for m in mentions if text[m.start : m.end] not in key_names]
same_type = [(a, b) for a in others for b in others if a.type == b.type]
pairs = [
    (query, key)
    for a, b in same_type
    for query in range(a.start, a.end)
    for key in range(b.start, b.end)
]
pairs = torch.tensor(pairs)[None]  # (1, pairs, 2)

window = InteractionMatrix(n, block_size=16, window=1)
entities = InteractionMatrix(n, 16, 1, entities=places)
related = InteractionMatrix(n, 16, 1, entities=places, pairs=pairs)
causal = InteractionMatrix(n, 16, 1, entities=places, pairs=pairs, causal=True)

# %% picture
matrices = {
    "window": window,
    "+ entities": entities,
    "+ related pairs": related,
    "the same, causal": causal,
}
kinds = {"window": "#7d8590", "entity": COLOURS[4], "related pair": COLOURS[0]}
figure, axes = panels(2, rows=2, height=3.2)
for panel, (name, matrix) in zip(axes, matrices.items(), strict=True):
    heatmap(panel, matrix.kinds()[0], colours=list(kinds.values()))
    panel.set(title=f"{name}: {100 * matrix.share:.0f} %", xlabel="key", ylabel="query")
legend(figure, handles=[Patch(color=c, label=kind) for kind, c in kinds.items()])
plt.show()

# %% counted
for name, matrix in matrices.items():
    # counted without ever building the n × n matrix
    assert matrix.count() == int(matrix.mask().sum())
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
    places = torch.arange(32)[None] * length // 32
    matrix = InteractionMatrix(length, block_size=64, window=1, entities=places)
    count, most = matrix.count(), bound(length)
    shares = f"{count / most:.3f} of the bound, {matrix.share:8.4%} of all"
    print(f"{length:6} tokens: {count:10,} pairs, {shares}")
    assert count <= most
    counts.append(count)

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
places = torch.tensor([[5, 300, 700, 1000]])
matrix = InteractionMatrix(1024, block_size=64, window=1, entities=places)
for size in (32, 64, 128):
    computed = 100 - float(matrix.block_mask(size).sparsity())
    print(f"flex_computes_with_{size} = {computed:.1f}")
    assert computed >= 100 * matrix.share  # whole blocks, for one pair kept in each
mask = matrix.mask()
before = InteractionMatrix(1024, 64, 1, places, causal=True).mask()
assert torch.equal(before, mask.tril())
assert torch.equal(mask, mask.mT) and not torch.equal(before, before.mT)

# %% forms_values values
print(f"kept_pairs_percent = {100 * matrix.share:.1f}")


# %% window_part
def window_part(Q, K, V, dropped, b: int, w: int):
    """Q, K, V: (heads, n, d), n a multiple of b; dropped: (n,), keys read elsewhere."""
    heads, n, d = Q.shape
    span = (2 * w + 1) * b  # keys that a block of queries reads
    pad = (w * b, w * b)  # so that the first and the last block have neighbours too
    blocks = Q.view(heads, n // b, b, d)
    K, V = (F.pad(x, (0, 0, *pad)).unfold(1, span, b).mT for x in (K, V))
    mask = F.pad(~dropped, pad).unfold(0, span, b)[:, None]  # (n/b, 1, span)
    scores = blocks @ K.mT * d**-0.5  # (heads, n/b, b, span): never n × n
    scores = scores.masked_fill(~mask, NEVER)
    lse = scores.logsumexp(-1)
    out = (scores - lse[..., None]).exp() @ V
    return out.reshape(heads, n, d), lse.reshape(heads, n)


# %% gathered
def gathered(Q, K, V, entities, b: int, w: int):
    """Attention along window and entities; entities: (E,) places."""
    is_entity = torch.zeros(Q.shape[1], dtype=torch.bool)
    is_entity[entities] = True
    near, near_lse = window_part(Q, K, V, is_entity, b, w)
    Q, K, V = Q[None], K[None], V[None]  # a batch of one
    far, far_lse = attention(Q, K[:, :, entities], V[:, :, entities])  # read by all
    out, _ = merge(near, near_lse, far[0], far_lse[0])
    rows, _ = attention(Q[:, :, entities], K, V)  # the entities read all
    return out.index_copy(1, entities, rows[0])


Q, K, V = torch.randn(3, 4, 256, 32)
places = torch.tensor([7, 60, 61, 200])
matrix = InteractionMatrix(256, block_size=32, window=1, entities=places[None])
ours = gathered(Q, K, V, places, b=32, w=1)
dense = F.scaled_dot_product_attention(Q, K, V, attn_mask=matrix.mask())
library = sparse_attention(Q[None], K[None], V[None], matrix)[0]
assert torch.allclose(ours, dense, atol=1e-5)
assert torch.allclose(ours, library, atol=1e-5)


# %% gradient_of_a_part
Q, K, V = torch.randn(3, 1, 2, 40, 16, dtype=torch.float64).unbind(0)
Q, K, V = (x.requires_grad_() for x in (Q, K, V))
dO = torch.randn_like(Q)
out, lse = attention(Q, K, V)  # of whole rows
expected = torch.autograd.grad(out, (Q, K, V), dO)

delta = (dO * out).sum(-1, keepdim=True)  # all that a part needs of the others
dQ, dK, dV = (torch.zeros_like(x) for x in (Q, K, V))
for part in (slice(0, 25), slice(25, 40)):  # keys of each part
    k, v = K[:, :, part], V[:, :, part]
    P = (Q @ k.mT / 4 - lse[..., None]).exp()  # this part's share of the row
    dS = P * (dO @ v.mT - delta)
    dQ += dS @ k / 4  # 4 is the root of 16
    dK[:, :, part] = dS.mT @ Q / 4
    dV[:, :, part] = P.mT @ dO
assert all(torch.allclose(x, y) for x, y in zip((dQ, dK, dV), expected, strict=True))


# %% random_shapes
def random_matrix(pick: random.Random) -> InteractionMatrix:
    batch, n = pick.choice([1, 2, 3]), pick.choice([1, 5, 17, 64, 100, 130])
    entities = torch.stack([torch.randperm(n)[:6] for _ in range(batch)])
    pairs = torch.randint(0, n, (batch, 9, 2)) if pick.random() < 0.5 else None
    real = torch.rand(batch, n) < 0.8 if pick.random() < 0.5 else None  # False: padding
    block_size, window = pick.choice([1, 8, 16]), pick.choice([None, 0, 1, 2])
    causal = pick.random() < 0.5
    return InteractionMatrix(n, block_size, window, entities, pairs, real, causal)


def masked(Q, K, V, matrix):
    mask = matrix.mask()[:, None]
    empty = ~mask.any(-1, keepdim=True)  # padding reads nothing: see "What goes wrong"
    out = F.scaled_dot_product_attention(Q, K, V, attn_mask=mask | empty)
    return out.masked_fill(empty, 0)


for case in range(100):
    matrix = random_matrix(random.Random(case))
    shape = (matrix.batch, 2, matrix.length, 16)
    qkv = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    outs = [function(*qkv, matrix) for function in (sparse_attention, masked)]
    grad = torch.randn_like(outs[0])
    sparse, dense = ([out, *torch.autograd.grad(out, qkv, grad)] for out in outs)
    for x, y in zip(sparse, dense, strict=True):
        assert torch.allclose(x, y, rtol=0, atol=1e-5)

# %% random_shapes_values values
print(f"cases = {case + 1}")

# %% everything_kept
qkv = [torch.randn(2, 4, 200, 32, requires_grad=True) for _ in range(3)]
for causal in (False, True):
    matrix = InteractionMatrix(200, block_size=64, window=3, causal=causal)
    assert causal or matrix.share == 1
    sparse = sparse_attention(*qkv, matrix)
    dense = F.scaled_dot_product_attention(*qkv, is_causal=causal)
    assert torch.allclose(sparse, dense, atol=1e-5)
    grads = [torch.autograd.grad(out.square().sum(), qkv) for out in (sparse, dense)]
    for x, y in zip(*grads, strict=True):
        assert torch.allclose(x, y, atol=1e-4)

# %% counted_twice
Q, K, V = torch.randn(3, 4, 256, 32)
places = torch.tensor([7, 60, 61, 200])
none = torch.zeros(256, dtype=torch.bool)  # the entities stay in the window
near, near_lse = window_part(Q, K, V, none, b=32, w=1)
far, far_lse = attention(Q[None], K[None, :, places], V[None, :, places])
out, _ = merge(near, near_lse, far[0], far_lse[0])
matrix = InteractionMatrix(256, block_size=32, window=1, entities=places[None])
dense = F.scaled_dot_product_attention(Q, K, V, attn_mask=matrix.mask())
ordinary = ~matrix.is_entity[0]
wrong = ((out - dense).abs().amax((0, 2)) > 1e-3) & ordinary  # (n,)
blocks_apart = (torch.arange(256)[:, None] // 32 - places // 32).abs()
beside = blocks_apart.amin(1) <= 1  # an entity in the window
assert torch.equal(wrong, beside & ordinary)
print(f"rows that count an entity twice: {int(wrong.sum())} of {int(ordinary.sum())}")
