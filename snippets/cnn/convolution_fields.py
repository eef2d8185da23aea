# %% setup
import torch
from torch import nn

from llm_tutorial.cnn.geometry import effective_field, inspect
from llm_tutorial.plotting import COLOURS, GREY, label_lines, panels, spread, use_style
from llm_tutorial.tables import over_seeds, table

use_style()
generator = torch.manual_seed(0)

# %% cone
figure, axes = panels(2, height=2.6)
stacks = {"three of 3": [(3, 1)] * 3, "dilations 1, 2, 4": [(3, 1), (3, 2), (3, 4)]}
for panel, (name, layers) in zip(axes, stacks.items(), strict=True):
    live = {0}
    for depth in range(len(layers), 0, -1):
        k, d = layers[depth - 1]
        offsets = [d * (a - k // 2) for a in range(k)]
        for unit in live:
            for offset in offsets:
                ends = ([unit, unit + offset], [depth, depth - 1])
                panel.plot(*ends, color=COLOURS[0], marker="", lw=0.8)
        panel.plot(sorted(live), [depth] * len(live), "o", color=COLOURS[1], ms=5)
        live = {unit + offset for unit in live for offset in offsets}
    panel.plot(sorted(live), [0] * len(live), "s", color=COLOURS[0], ms=5)
    panel.set(title=name, xlim=(-8, 8), yticks=range(4), ylabel="layer", xlabel="place")


# %% recurrence
def receptive_field(layers):  # (kernel, stride, dilation) of each
    field = jump = 1
    for k, s, d in layers:
        field += d * (k - 1) * jump  # neighbouring entries lie d · jump apart
        jump *= s
    return field


assert receptive_field([(3, 1, 1)] * 3) == 7
assert receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == 15
assert receptive_field([(3, 2, 1)] * 3) == 15

# %% checked
layers = [(5, 2, 1), (3, 1, 2), (3, 2, 1), (2, 2, 1)]
model = nn.Sequential(*[
    nn.Conv2d(1, 1, k, stride=s, padding=d * (k - 1) // 2, dilation=d, bias=False)
    for k, s, d in layers
])  # fmt: skip
mass = effective_field(model, (1, 65, 65))  # |gradient| of the middle output
rows = mass.sum(1).nonzero().flatten()
width = int(rows.max() - rows.min() + 1)
assert width == receptive_field(layers)
assert inspect(model, torch.zeros(1, 1, 65, 65)).layers[-1].receptive_field[0] == width
print("formula, gradient and inspect agree on", width)


# %% walk
def walk(layers):  # probabilities of a walk of so many steps of -1, 0 or 1
    p = torch.ones(1, 1, 1)
    for _ in range(layers):
        p = torch.conv1d(p, torch.ones(1, 1, 3) / 3, padding=2)
    return p.flatten()


def predicted(layers):  # reach of the root of these probabilities
    root = walk(layers).sqrt()
    place = torch.arange(len(root)) - len(root) // 2
    return ((root / root.sum()) @ place.square().float()).sqrt().item()


for layers in (2, 8, 32):
    variance = walk(layers) @ (torch.arange(2 * layers + 1) - layers).square().float()
    assert abs(variance - 2 * layers / 3) < 1e-3
assert abs(predicted(32) / (4 * 32 / 3) ** 0.5 - 1) < 0.03


# %% effective
def stack(depth, channels=16):
    layers = []
    for i in range(depth):
        layers += [nn.Conv2d(channels if i else 1, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def reach(mass):  # root mean square distance from the middle, along an axis
    place = torch.arange(len(mass)) - len(mass) // 2
    return (mass.sum(1) * place**2).sum().sqrt().item()


depths, seeds = [2, 4, 8, 16], range(5)
masses = {}
for seed in seeds:
    for depth in depths:
        torch.manual_seed(seed)
        model = stack(depth)
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        size = 2 * depth + 1
        masses[depth, seed] = effective_field(model, (1, size, size), inputs=64)

reaches = [[reach(masses[depth, seed]) for depth in depths] for seed in seeds]
off = [
    abs(row[i] / predicted(depth) - 1)
    for row in reaches
    for i, depth in enumerate(depths)
]
assert max(off) < 0.1  # random weights and ReLUs do as the walk says

# %% effective_figure
figure, (left, middle, right) = panels(3, height=2.5)
shown = masses[16, 0]
left.imshow(shown / shown.max(), cmap="Blues")
left.set(title="16 layers", xlabel="place", ylabel="place")
left.grid(visible=False)
profile = torch.stack([masses[16, seed].sum(1) for seed in seeds]).mean(0)
place = torch.arange(len(profile)) - len(profile) // 2
sigma = torch.tensor([reach(masses[16, seed]) for seed in seeds]).mean()
normal = torch.exp(-((place / sigma) ** 2) / 2) / (sigma * (2 * torch.pi) ** 0.5)
middle.plot(place, profile, label="measured", marker="")
middle.plot(place, normal, "--", color=GREY, marker="", label="normal")
middle.set(title="share of gradient", xlabel="place", xlim=(-18, 18))
middle.legend(loc="lower left", bbox_to_anchor=(0, 1.12), ncols=2)
right.plot(depths, depths, color=GREY, label="theoretical", marker="")
spread(right, depths, reaches, "effective", color=COLOURS[1])
right.set(xscale="log", yscale="log", xlabel="layers", title="reach to one side")
right.set_xticks(depths, depths)
right.minorticks_off()
right.plot(depths, [predicted(d) for d in depths], "--", color=GREY, marker="")
label_lines(right)


# %% effective_table
def inner(mass):  # the middle of the field, about half as wide and high
    middle, half = len(mass) // 2, len(mass) // 4
    return mass[middle - half : middle + half + 1, middle - half : middle + half + 1]


rows = {}
for depth in depths:
    found = [masses[depth, seed] for seed in seeds]
    rows[f"{depth} layers"] = [
        f"{2 * depth + 1}",
        over_seeds([reach(mass) for mass in found], ".2f"),
        f"{predicted(depth):.2f}",
        f"{100 * inner(found[0]).numel() / found[0].numel():.0f}",
        over_seeds([100 * inner(mass).sum().item() for mass in found], ".0f"),
    ]
columns = [
    "", "theoretical field", "reach, measured", "reach, predicted",
    "inner places, %", "their gradient, %",
]  # fmt: skip
table(rows, columns).show()

# %% effective_values values
print(f"predicted_16 = {predicted(16):.1f}")
print(f"reach_16 = {sum(row[-1] for row in reaches) / len(seeds):.1f}")
print(f"most_off = {100 * max(off):.0f}")
held = [inner(masses[16, seed]).sum().item() for seed in seeds]
print(f"inner_16 = {100 * sum(held) / len(held):.0f}")
