# %% setup
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.convolution import output_size
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.pooling import AttentionPool, average_pool, k_max_pool, max_pool
from llm_tutorial.plotting import COLOURS, GREY, panels, use_style
from llm_tutorial.tables import table

use_style()
generator = torch.manual_seed(0)

# %% places
figure, axes = panels(4, height=1.9)
cases = {
    "plain": (7, 3, 1, 0, 1),
    "padding 1": (7, 3, 1, 1, 1),
    "stride 2": (7, 3, 2, 1, 1),
    "dilation 2": (7, 3, 1, 2, 2),
}
for panel, (name, (n, k, s, p, d)) in zip(axes, cases.items(), strict=True):
    out = output_size(n, k, s, p, d)
    starts = [i * s - p for i in range(out)]
    for start in starts:
        for a in range(k):
            ends = ([start + a * d, start + (k - 1) * d / 2], [0, 1])
            panel.plot(*ends, color=GREY, marker="", lw=0.6)
    zeros = [i for i in range(-p, n + p) if not 0 <= i < n]
    panel.plot(range(n), [0] * n, "s", color=COLOURS[0], ms=7)
    panel.plot(zeros, [0] * len(zeros), "s", mfc="none", color=COLOURS[0], ms=7)
    middles = [start + (k - 1) * d / 2 for start in starts]
    panel.plot(middles, [1] * out, "o", color=COLOURS[1], ms=7)
    panel.set(title=name, yticks=[], xticks=[], ylim=(-0.5, 1.5), xlim=(-2.9, 8.9))
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)

# %% output_size
sizes = {}
for name, (n, k, s, p, d) in cases.items():
    y = F.conv1d(
        torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p, dilation=d
    )
    assert y.shape[-1] == (n + 2 * p - d * (k - 1) - 1) // s + 1
    sizes[name] = [n, k, s, p, d, y.shape[-1]]
table(sizes, ["", "n", "k", "s", "p", "d", "output"]).show()

# %% counts
H = W = 28
layers = {
    "dense": nn.Linear(64 * H * W, 64 * H * W, device="meta"),
    "locally connected": None,  # a kernel of its own at each place
    "convolution 3 × 3": nn.Conv2d(64, 64, 3, padding=1),
    "in 4 groups": nn.Conv2d(64, 64, 3, padding=1, groups=4),
    "depthwise + 1 × 1": nn.Sequential(
        nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.Conv2d(64, 64, 1)
    ),
    "1 × 1": nn.Conv2d(64, 64, 1),
}
rows = {}
for name, layer in layers.items():
    if name == "dense":
        weights = multiplications = layer.weight.numel()
    elif name == "locally connected":
        weights = multiplications = 64 * H * W * 64 * 9
    else:
        found = inspect(layer, torch.zeros(1, 64, H, W)).layers
        multiplications = sum(each.multiplications for each in found)
        weights = sum(p.numel() for p in layer.parameters() if p.dim() > 1)
    rows[name] = [weights, multiplications]
table(rows, ["64 to 64 channels at 28 × 28", "weights", "multiplications"], ",").show()

# %% counts_values values
full, separable = rows["convolution 3 × 3"], rows["depthwise + 1 × 1"]
print(f"dense_over_convolution = {rows['dense'][0] / full[0]:,.0f}")
print(f"separable_share = {separable[1] / full[1]:.3f}")
print(f"separable_saving = {full[1] / separable[1]:.1f}")
assert abs(separable[1] / full[1] - (1 / 64 + 1 / 9)) < 1e-9

# %% separable
depth, point = layers["depthwise + 1 × 1"]
x = torch.randn(1, 64, 9, 9)
whole = point.weight * depth.weight[None, :, 0]  # (64, 64, 3, 3)
bias = point.bias + point.weight[:, :, 0, 0] @ depth.bias
assert F.conv2d(x, whole, bias, padding=1).allclose(point(depth(x)), atol=1e-4)
slices = torch.linalg.matrix_rank(whole.detach().transpose(0, 1).flatten(2))
assert slices.max() == 1  # per input channel one kernel, scaled for each output

# %% pooling
x = torch.tensor([[[0.0, 4, 1, 3, 0, 2, 5, 0]]])
pool = AttentionPool(1)
pool.query.data.fill_(1.0)
print("max 2        ", max_pool(x, 2)[0, 0].tolist())
print("mean 2       ", average_pool(x, 2)[0, 0].tolist())
print("3 largest    ", k_max_pool(x, 3)[0, 0].tolist())
print("attention    ", [round(pool(x).item(), 2)], "near the maximum, 5")
pool.query.data.zero_()
print("attention, 0 ", [round(pool(x).item(), 2)], "the mean")
assert max_pool(x, 2).equal(F.max_pool1d(x, 2))
assert average_pool(x, 2).equal(F.avg_pool1d(x, 2))
assert pool(x).allclose(x.mean(-1))

# %% inspected
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 64, 1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
)  # fmt: skip
inspect(model, torch.zeros(1, 3, 64, 64), cue=24).show()
