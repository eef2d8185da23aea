# %% setup
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.plotting import COLOURS, label_lines, legend, panels, use_style

torch.manual_seed(0)
use_style()

# %% idea
query = torch.tensor([1.1, 0.1])
keys = torch.tensor([[0.9, 0.6], [0.2, 1.0], [-0.9, 0.6], [0.3, -1.0]])
values = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
weights = (3 * keys @ query).softmax(0)  # (key,)
output = weights @ values

figure, (left, right) = panels(2, height=2.7)
blue, red = COLOURS[:2]
arrow = {"arrowstyle": "<-", "color": red, "lw": 2}
left.annotate("query", (0, 0), tuple(query), arrowprops=arrow)
for i, (key, value, p) in enumerate(zip(keys, values, weights, strict=True), 1):
    arrow = {"arrowstyle": "<-", "color": blue}
    left.annotate(f"$k_{i}$", (0, 0), tuple(key), arrowprops=arrow)
    right.plot(*value, "o", color=blue, markersize=4 + 26 * p.item() ** 0.5)
    right.text(value[0], value[1] + 0.1 + 0.13 * p, f"$p_{i} v_{i}$", ha="center")
right.plot(*output, "D", color=red, markersize=8)
right.text(output[0] + 0.07, output[1] + 0.03, "output")
right.fill(*values.T, color=blue, alpha=0.08)
left.set(xlim=(-1.2, 1.7), ylim=(-1.3, 1.3), title="scores: query · key")
right.set(xlim=(-0.3, 1.4), ylim=(-0.25, 1.35), title="output: weighted mean of values")
plt.show()


# %% from_scratch
def attention(Q, K, V, mask=None):  # (..., query, d), (..., key, d), (..., key, v)
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])  # (..., query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ V  # (..., query, v)


# %% same_as_sdpa
shape = (2, 4, 10, 16)  # batch, head, token, d
Q, K, V = (torch.randn(shape, requires_grad=True) for _ in range(3))
causal = torch.ones(10, 10, dtype=torch.bool).tril()  # True: may be read
ours = attention(Q, K, V, causal)
theirs = F.scaled_dot_product_attention(Q, K, V, attn_mask=causal)
assert torch.allclose(ours, theirs, atol=1e-6)
dO = torch.randn_like(ours)
mine = torch.autograd.grad(ours, (Q, K, V), dO)
other = torch.autograd.grad(theirs, (Q, K, V), dO)
for one, two in zip(mine, other, strict=True):
    assert torch.allclose(one, two, atol=1e-5)

# %% convex
P = (Q @ K.mT / 4).softmax(-1)
assert (P >= 0).all() and torch.allclose(P.sum(-1), torch.ones(2, 4, 10))
out = P @ V
low, high = V.amin(-2, keepdim=True), V.amax(-2, keepdim=True)
assert ((low - 1e-6 <= out) & (out <= high + 1e-6)).all()

# %% variance tolerance="5%"
sizes = [4, 16, 64, 256, 1024]
for d in sizes:
    dot = (torch.randn(20_000, d) * torch.randn(20_000, d)).sum(-1)
    print(f"d = {d:4}: variance of q·k is {dot.var() / d:.2f} d")
    assert abs(dot.var() / d - 1) < 0.1

# %% saturation
entropy, slope = {}, {}
for d in sizes:
    for scale in (1.0, d**-0.5):
        q, k = torch.randn(500, 1, d), torch.randn(500, d, 64)  # 64 keys
        p = ((q @ k)[:, 0] * scale).softmax(-1)
        entropy[d, scale] = torch.special.entr(p).sum(-1).mean().item() / math.log(64)
        slope[d, scale] = (p * (1 - p)).sum(-1).mean().item()  # Jacobian's trace

figure, axes = panels(2)
names = ("entropy / log n", "trace of Jacobian")
for panel, name, y in zip(axes, names, (entropy, slope), strict=True):
    panel.plot(sizes, [y[d, 1.0] for d in sizes], label="q · k")
    panel.plot(sizes, [y[d, d**-0.5] for d in sizes], label="q · k / √d")
    panel.set(xscale="log", xlabel="head size d", title=name, ylim=(0, 1.05))
    panel.set_xticks(sizes, sizes)
    panel.minorticks_off()
legend(figure)
plt.show()

# %% saturation_values values
print(f"entropy_unscaled_64 = {entropy[64, 1.0]:.2f}")
print(f"entropy_scaled_64 = {entropy[64, 0.125]:.2f}")
print(f"slope_unscaled_1024 = {slope[1024, 1.0]:.2f}")
print(f"slope_scaled_1024 = {slope[1024, 1 / 32]:.2f}")

# %% gradients
double = {"dtype": torch.float64}
Q, K, V = (torch.randn(n, 8, **double, requires_grad=True) for n in (5, 7, 7))
dO = torch.randn(5, 8, **double)
P = (Q @ K.T / 8**0.5).softmax(-1)  # (query, key)
(P @ V).backward(dO)

dV = P.T @ dO
dP = dO @ V.T
dS = P * (dP - (P * dP).sum(-1, keepdim=True))
assert torch.allclose(dV, V.grad)
assert torch.allclose(dS @ K / 8**0.5, Q.grad)
assert torch.allclose(dS.T @ Q / 8**0.5, K.grad)
assert torch.allclose((P * dP).sum(-1), (dO * (P @ V)).sum(-1))  # without P


# %% heads
class MultiHeadAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask=None):  # (batch, token, width)
        def split(y):  # -> (batch, head, token, width / heads)
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        Q, K, V = split(self.q(x)), split(self.k(x)), split(self.v(x))
        out = attention(Q, K, V, mask)
        return self.o(out.transpose(1, 2).flatten(2))


layer = MultiHeadAttention(32, heads=4)
x = torch.randn(2, 10, 32)

# %% same_as_torch
library = nn.MultiheadAttention(32, 4, batch_first=True)
qkv = (layer.q, layer.k, layer.v)
library.in_proj_weight.data = torch.cat([each.weight.data for each in qkv])
library.in_proj_bias.data = torch.cat([each.bias.data for each in qkv])
library.out_proj.load_state_dict(layer.o.state_dict())
theirs, _ = library(x, x, x, attn_mask=~causal)  # here True means: may NOT read
assert torch.allclose(layer(x, causal), theirs, atol=1e-6)

# %% causality
changed = x.clone()
changed[:, 6:] = torch.randn(2, 4, 32)  # another future
assert torch.allclose(layer(x, causal)[:, :6], layer(changed, causal)[:, :6], atol=1e-6)
assert not torch.allclose(layer(x)[:, :6], layer(changed)[:, :6], atol=1e-3)

# %% padding
lengths = torch.tensor([10, 7])
real = torch.arange(10) < lengths[:, None]  # (batch, key)
padded = layer(x, real[:, None, None, :])  # the same for every head and query
alone = layer(x[1:, :7])[0]  # as if the padding were not there
assert torch.allclose(padded[1, :7], alone, atol=1e-6)

# %% permutation
order = torch.randperm(10)
shuffled = x[:, order]
# equivariant: no idea of order
assert torch.allclose(layer(x)[:, order], layer(shuffled), atol=1e-6)
with_mask = layer(x, causal)[:, order]
assert not torch.allclose(with_mask, layer(shuffled, causal), atol=1e-3)


# %% rope
def rotate(x, place, base=10_000.0):  # (..., token, d), (token,)
    d = x.shape[-1]
    angle = place[:, None] * base ** (-torch.arange(0, d, 2) / d)  # (token, d / 2)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, -1)  # coordinates i and i + d/2 make one plane
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


# %% rope_is_relative
q, k = torch.randn(2, 1, 64).double()
place = torch.arange(200).double()
Q, K = rotate(q, place), rotate(k, place)  # (place, 64)
scores = (Q[7:] * K[:-7]).sum(-1)  # a distance of 7, wherever it is
assert torch.allclose(scores, scores[0])
assert torch.allclose(Q.norm(dim=-1), q.norm())  # lengths stay

# %% rope_and_distance
distances = torch.arange(0, 1000, 5)
ones = torch.ones(len(distances), 64)
figure, (axes,) = panels()
for base, colour in ((10_000.0, COLOURS[0]), (100_000.0, COLOURS[1])):
    score = rotate(ones, distances, base) @ ones[0] / 64
    axes.plot(distances, score, color=colour, marker="", label=f"base {base:,.0f}")
axes.set(xlabel="distance i − j", ylabel="score / d")
label_lines(axes)
plt.show()
