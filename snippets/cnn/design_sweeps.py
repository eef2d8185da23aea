# %% setup
import time

import torch

from llm_tutorial.cnn.design import Design, within
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
torch.set_num_threads(1)
pictures, signals = results("cnn", "design_pictures"), results("cnn", "design_signals")
SHAPE = (1, 28, 28)


def wrong(name):
    return [100 - 100 * run["accuracy"] for run in by_seed(pictures, name)]


# %% choices
design = Design(widths=(8, 16, 32), kernel=3, stem=2, pooling="mean")
full = within(design, 6000, SHAPE, outputs=10)
cheap = within(Design(stem=2, separable=True), 6000, SHAPE, outputs=10)
print("full:", full.widths, " separable:", cheap.widths)
inspect(full.build(SHAPE, 10), torch.zeros(1, *SHAPE), cue=20).show()

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
SHOWN = {"full, middle": "mean pooling, 1 layer a stage"}


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

# %% kernels
rows_of(["kernel and depth"])

# %% separable
rows_of(["separable"])

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

# %% pareto
figure, axes = panels(2, sharey=True)
everything = list(dict.fromkeys(name for kind in KINDS.values() for name in kind))
for way, colour in (("full", COLOURS[0]), ("separable", COLOURS[1])):
    names = [name for name in everything if name.startswith(f"{way}, ")]
    means = [sum(wrong(name)) / len(wrong(name)) for name in names]
    size = [by_seed(pictures, name)[0]["parameters"] for name in names]
    axes[0].plot(size, means, color=colour, label=way)
    axes[1].plot([times[name] for name in names], means, color=colour, label=way)
others = [name for name in everything if "full" not in name and "separ" not in name]
axes[0].plot(
    [by_seed(pictures, name)[0]["parameters"] for name in others],
    [sum(wrong(name)) / len(wrong(name)) for name in others],
    "x", color=GREY, label="other designs",
)  # fmt: skip
axes[0].set(xlabel="parameters", ylabel="wrong, %", xscale="log")
axes[1].set(xlabel="time for 64 digits, ms", ylabel="wrong, %", xscale="log")
legend(figure)

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
    assert max(right) < best[name] + 1  # nobody can do better, but for chance
columns = ["four layers", "parameters", "reach", "places read", "ceiling, %"]
table(rows, [*columns, "right, %"], [",", "", "", ".1f", ""]).show()
