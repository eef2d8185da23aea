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
reaches = [[reach(masses[depth, seed]) for depth in depths] for seed in seeds]
right.plot(depths, depths, color=GREY, label="theoretical", marker="")
spread(right, depths, reaches, "effective", color=COLOURS[1])
right.set(xscale="log", yscale="log", xlabel="layers", title="reach to one side")
right.set_xticks(depths, depths)
right.minorticks_off()
label_lines(right)


# %% effective_table
def inner_half(mass):  # share of the gradient in the middle, half as wide and high
    middle, reach = len(mass) // 2, len(mass) // 4
    inner = slice(middle - reach, middle + reach + 1)
    return 100 * mass[inner, inner].sum().item()


rows = {}
for depth in depths:
    found = [masses[depth, seed] for seed in seeds]
    rows[f"{depth} layers"] = [
        f"{2 * depth + 1}",
        over_seeds([reach(mass) for mass in found], ".2f"),
        over_seeds([inner_half(mass) for mass in found], ".0f"),
    ]
columns = ["", "theoretical field", "effective reach", "inner half, %"]
table(rows, columns).show()

# %% effective_values values
logs = torch.tensor(depths).log()
slopes = []
for row in reaches:
    y = torch.tensor(row).log()
    slopes.append(
        ((logs - logs.mean()) * (y - y.mean())).sum()
        / (logs - logs.mean()).square().sum()
    )
slopes = torch.stack(slopes)
print(f"slope = {slopes.mean():.2f}")
print(f"slope_lowest = {slopes.min():.2f}")
print(f"slope_highest = {slopes.max():.2f}")
print(f"reach_16 = {sum(row[-1] for row in reaches) / len(seeds):.1f}")
