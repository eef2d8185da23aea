# %% setup
import time

import numpy as np
import torch
from torch import nn

from llm_tutorial.cnn.design import Design, within
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.sweeps import unpacked
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
torch.set_num_threads(1)
pictures, signals = results("cnn", "design_pictures"), results("cnn", "design_signals")


def wrong(name):
    return [100 - 100 * run["accuracy"] for run in by_seed(pictures, name)]


# %% seen
PULSE = 0.1  # probability of a pulse at a place
STACKS = {
    "kernel 3": (3, [1, 1, 1, 1]),
    "dilations 1, 2, 4, 8": (3, [1, 2, 4, 8]),
    "dilation 4": (3, [4, 4, 4, 4]),
    "kernel 9": (9, [1, 1, 1, 1]),
}


def distances(kernel, dilations):
    """Which places up to a label's own are read, by their distance from it."""
    read = {0}
    for dilation in dilations:
        steps = range(-dilation * (kernel // 2), dilation * (kernel // 2) + 1, dilation)
        read = {place + step for place in read for step in steps}
    return sorted(-place for place in read if place <= 0)


def ceiling(seen):
    return 0.5 + 0.5 * sum(PULSE * (1 - PULSE) ** distance for distance in seen)


# %% stacks
rows, best = {}, {}
for name, (kernel, dilations) in STACKS.items():
    run = by_seed(signals, name)
    seen = distances(kernel, dilations)
    best[name] = 100 * ceiling(seen)
    right = [100 * each["accuracy"] for each in run]
    rows[name] = [
        run[0]["parameters"], seen[-1], len(seen), best[name], over_seeds(right)
    ]  # fmt: skip
    assert best[name] - 2 < min(right) and max(right) < best[name] + 1
columns = ["four layers", "parameters", "reach", "places read", "ceiling, %"]
table(rows, [*columns, "right, %"], [",", "", "", ".1f", ""]).show()

# %% stacks_values values
short = dict(zip(STACKS, ("three", "doubling", "four", "nine"), strict=True))
for name, key in short.items():
    right = [100 * each["accuracy"] for each in by_seed(signals, name)]
    print(f"ceiling_{key} = {best[name]:.1f}")
    print(f"right_{key} = {sum(right) / len(right):.1f}")


# %% builder
def network(widths, kernel=3, stem=2, classes=10):
    layers, before = [], 1
    for stage, width in enumerate(widths):
        if stage:
            layers.append(nn.MaxPool2d(2))  # half the resolution between stages
        stride = 1 if stage else stem
        layers += [
            nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        before = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers, *head)


SHAPE, digit = (1, 28, 28), torch.rand(1, 1, 28, 28)
torch.manual_seed(0)
ours = network((8, 16, 32))
torch.manual_seed(0)
theirs = Design(widths=(8, 16, 32), kernel=3, stem=2, pooling="mean").build(SHAPE, 10)
assert torch.equal(ours(digit), theirs(digit))

# %% choices
full = within(Design(stem=2), 6000, SHAPE, outputs=10)
cheap = within(Design(stem=2, separable=True), 6000, SHAPE, outputs=10)
print("full:", full.widths, " separable:", cheap.widths)
inspect(full.build(SHAPE, 10), digit, cue=20).show()

# %% digits
KINDS = {
    "pooling": ["full, middle", "max pooling", "attention pooling", "flatten"],
    "kernel and depth": ["6 layers of 3", "3 layers of 5", "1 layer of 13"],
    "layers a stage": ["full, middle", "2 layers a stage", "4 layers a stage"],
    "separable": [
        f"{way}, {size}"
        for way in ("full", "separable")
        for size in ("small", "middle", "large")
    ],
}
SHOWN = {"full, middle": "mean pooling, 1 layer"}


def rows_of(kinds):
    rows = {}
    for name in dict.fromkeys(name for kind in kinds for name in KINDS[kind]):
        run = by_seed(pictures, name)
        rows[SHOWN.get(name, name)] = [
            "-".join(map(str, run[0]["widths"])),
            run[0]["parameters"],
            run[0]["products"],
            f"{run[0]['rate']:g}",
            over_seeds(wrong(name)),
            over_seeds([100 * each["training loss"] for each in run]),
            over_seeds([100 * each["nearest"] for each in run]),
        ]
    columns = ["", "widths", "parameters", "multiplications", "rate", "wrong, %"]
    columns += ["training loss × 100", "nearest alike, %"]
    table(rows, columns, ["", ",", ",", "", "", "", ""]).show()


rows_of(["pooling", "layers a stage"])

# %% difference
TEST, draw = 3600, np.random.default_rng(0)


def answers_of(name):  # (seed, digit): was it right?
    found = [unpacked(run["right"], TEST) for run in by_seed(pictures, name)]
    return torch.stack(found).numpy().astype(int)


def difference(name, other, resamples=3000):
    """Of two designs in points, and what 95 of 100 resamples span."""
    gain = answers_of(name)[:, None] - answers_of(other)[None]
    who, whom = draw.integers(3, size=(2, resamples, 1))  # a seed of each
    which = draw.integers(TEST, size=(resamples, TEST))
    resampled = gain[who, whom, which].mean(1)
    return 100 * gain.mean(), *(100 * np.quantile(resampled, [0.025, 0.975]))


PAIRS = {
    "max": ("max pooling", "full, middle"),
    "attention": ("attention pooling", "full, middle"),
    "flatten": ("flatten", "full, middle"),
    "two_layers": ("2 layers a stage", "full, middle"),
    "four_layers": ("4 layers a stage", "full, middle"),
    "three_of_5": ("3 layers of 5", "full, middle"),
    "separable_small": ("separable, small", "full, small"),
    "separable_middle": ("separable, middle", "full, middle"),
    "separable_large": ("separable, large", "full, large"),
    "large": ("full, large", "full, middle"),
}
gains = {key: difference(*pair) for key, pair in PAIRS.items()}
rows = {
    f"{pair[0]} − {pair[1]}": [f"{gain:+.1f}", f"[{low:+.1f}, {high:+.1f}]"]
    for pair, (gain, low, high) in zip(PAIRS.values(), gains.values(), strict=True)
}
table(rows, ["right, in points", "difference", "95 %"]).show()

# %% kernels
rows_of(["kernel and depth"])

# %% separable
rows_of(["separable"])

# %% digits_values values
KEYS = {
    "full, middle": "mean",
    "max pooling": "max",
    "attention pooling": "attention",
    "2 layers a stage": "two_layers",
    "4 layers a stage": "four_layers",
    "6 layers of 3": "six_of_3",
    "3 layers of 5": "three_of_5",
    "1 layer of 13": "one_of_13",
}
for name in dict.fromkeys(name for kind in KINDS.values() for name in kind):
    key = KEYS.get(name, name).replace(", ", "_").replace(" ", "_")
    errors, run = wrong(name), by_seed(pictures, name)
    print(f"{key}_wrong = {sum(errors) / len(errors):.1f}")
    print(f"{key}_lowest = {min(errors):.1f}")
    print(f"{key}_highest = {max(errors):.1f}")
    near = [100 * each["nearest"] for each in run]
    print(f"{key}_nearest = {sum(near) / len(near):.1f}")
    print(f"{key}_nearest_lowest = {min(near):.1f}")
    print(f"{key}_nearest_highest = {max(near):.1f}")
    print(f"{key}_loss = {sum(each['training loss'] for each in run) / len(run):.2f}")
staged, *stacks = (
    by_seed(pictures, name)[0]["products"]
    for name in ("full, middle", *KINDS["kernel and depth"])
)
print(f"products_least = {min(stacks) / staged:.0f}")
print(f"products_most = {max(stacks) / staged:.0f}")
more = [
    100 * by_seed(pictures, f"separable, {size}")[0]["products"]
    / by_seed(pictures, f"full, {size}")[0]["products"] - 100
    for size in ("small", "middle", "large")
]  # fmt: skip
print(f"more_least = {min(more):.0f}")
print(f"more_most = {max(more):.0f}")
for key, (gain, low, high) in gains.items():
    print(f"gain_{key} = {gain:.1f}")
    print(f"gain_{key}_low = {low:.1f}")
    print(f"gain_{key}_high = {high:.1f}")


# %% times timed
@torch.no_grad()
def time_of(name):
    """Milliseconds for 64 digits on one thread, the fastest of many tries."""
    run = by_seed(pictures, name)[0]
    separable = name.startswith("separable")
    model = Design(tuple(run["widths"]), separable=separable, stem=2)
    network, x = model.build(SHAPE, 10).eval(), torch.zeros(64, *SHAPE)
    tries = []
    for _ in range(40):
        start = time.perf_counter()
        network(x)
        tries.append(time.perf_counter() - start)
    return 1000 * min(tries)


times = {name: time_of(name) for name in KINDS["separable"]}

# %% times_values values
for size in ("small", "middle", "large"):
    slower = times[f"separable, {size}"] / times[f"full, {size}"]
    print(f"slower_{size} = {slower:.1f}")  # tolerance 75%

# %% pareto timed tolerance="75%"
figure, axes = panels(2, sharey=True)
unit = times["full, small"]
everything = list(dict.fromkeys(name for kind in KINDS.values() for name in kind))
for way, colour in (("full", COLOURS[0]), ("separable", COLOURS[1])):
    names = [f"{way}, {size}" for size in ("small", "middle", "large")]
    means = [sum(wrong(name)) / len(wrong(name)) for name in names]
    size = [by_seed(pictures, name)[0]["parameters"] for name in names]
    axes[0].plot(size, means, color=colour, label=way)
    axes[1].plot([times[name] / unit for name in names], means, color=colour, label=way)
others = [name for name in everything if "full" not in name and "separ" not in name]
axes[0].plot(
    [by_seed(pictures, name)[0]["parameters"] for name in others],
    [sum(wrong(name)) / len(wrong(name)) for name in others],
    "x", color=GREY, label="other designs",
)  # fmt: skip
axes[0].set(xlabel="parameters", ylabel="wrong, %")
axes[1].set(xlabel="time, smallest full: 1", ylabel="wrong, %")
for panel, ticks in zip(axes, ([2000, 6000, 18000], [1, 2, 4, 8, 16]), strict=True):
    panel.set(xscale="log", yscale="log")
    panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    panel.set_yticks([5, 10, 20], ["5", "10", "20"])
    panel.minorticks_off()
legend(figure)

# %% holes
four, doubling = (distances(*STACKS[name]) for name in list(STACKS)[2:0:-1])
print("dilation 4 reads", four)
print("dilations 1, 2, 4, 8 read", doubling)
assert ceiling(four) < ceiling(distances(3, [1, 1, 1, 1])) < ceiling(doubling)

# %% holes_values values
print(f"read_four = {len(four)}")
print(f"reach_four = {four[-1] + 1}")
known = 100 * (2 * ceiling(four) - 1)  # the last pulse is read
print(f"in_holes = {100 * (1 - (1 - PULSE) ** 17) - known:.0f}")
print(f"known = {known:.0f}")

# %% one_rate
names = ["full, middle", "separable, middle", "3 layers of 5", "1 layer of 13"]
rows = {}
for name in names:
    own = by_seed(pictures, name)[0]["rate"]
    tried = [
        pictures["metrics"][f"{name}, rate {r:g}"]["accuracy"] for r in (0.01, own)
    ]
    rows[name] = [100 - 100 * tried[0], f"{own:g}", 100 - 100 * tried[1]]
columns = ["validation, one seed", "wrong at 0.01, %", "own rate", "wrong at it, %"]
table(rows, columns, [".1f", "", ".1f"]).show()
assert rows["full, middle"][0] < rows["separable, middle"][0]  # a verdict …
assert rows["full, middle"][2] >= rows["separable, middle"][2]  # … of the rate

# %% one_rate_values values
for name in names:
    key = KEYS.get(name, name).replace(", ", "_").replace(" ", "_")
    print(f"{key}_at_001 = {rows[name][0]:.1f}")
    print(f"{key}_at_own = {rows[name][2]:.1f}")
print("common_rate = 0.01")
