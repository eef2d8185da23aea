# %% setup
from typing import NamedTuple

import numpy as np

from llm_tutorial.plotting import (
    COLOURS,
    GREY,
    label_lines,
    legend,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.serve.load import arrivals, simulated

use_style()
runs = results("transformer", "serve_load")["metrics"]
known = runs["constants"]

# %% constants
sizes, seconds = np.array(
    [(int(k), s) for k, s in known["seconds_of_batches"]["as they come"].items()]
).T
c1, c0 = np.polyfit(sizes, seconds, 1)
around = known["no_model"]["service_seconds"]  # HTTP and tokenizing, of each request
print(f"c0 = {1000 * c0:.1f} ms, c1 = {1000 * c1:.1f} ms, HTTP {1000 * around:.1f} ms")
predicted, measured = {}, {}
for size in (1, 16):
    predicted[size] = size / (c0 + size * (c1 + around))
    measured[size] = known[f"batches of {size}"]["full"]["capacity"]
    print(f"batches of {size} at most: {predicted[size]:.0f} requests/s expected,")
    print(f"  {measured[size]:.0f} measured")

# %% queueing_curve
single = c0 + c1 + around  # seconds of one request
loads = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
curves = {}
for mode, size in (("one at a time", 1), ("batches", 16)):
    grid = loads if size == 1 else np.append(loads, [1.2, 1.5, 1.7])
    each = [arrivals(load / single, 50_000, seed=4) for load in grid]
    waits = [(simulated(t, c0, c1 + around, size) - t).mean() for t in each]
    curves[mode] = grid, np.array(waits) / single
figure, (axes,) = panels()
formula = 1 + loads / (2 * (1 - loads))
axes.plot(loads, formula, color=GREY, marker="", lw=4, alpha=0.5, label="_")
for mode, (grid, waits) in curves.items():
    axes.plot(grid, waits, label=mode)
for wall in (1, 16 * single / (c0 + 16 * (c1 + around))):
    axes.axvline(wall, color=GREY, lw=1, ls=":")
axes.set(xlabel="load ρ", ylabel="time from request to answer", ylim=(0, 12))
label_lines(axes)

# %% load
PARTS = {"one at a time": ["one at a time"], "batches": ["batches", "batches beyond"]}
LARGEST = {"one at a time": 1, "batches": 16}
SEEDS = range(3)


def simulation(mode, run, seed):  # the same arrivals, the same bound
    times = arrivals(run["rate"], run["count"], seed)
    ends = simulated(times, c0, c1 + around, LARGEST[mode], 32)
    waits = (ends - times)[run["count"] // 10 :]
    return *np.nanpercentile(waits, [50, 99]), np.isnan(waits).mean()


def measurement(run):
    return run["answered_in"][0], run["answered_in"][2], run["refused"] / run["counted"]


class Row(NamedTuple):  # one rate; arrays are (seed, quantity)
    name: str
    rate: float
    ours: np.ndarray
    theirs: np.ndarray
    runs: list


found = {mode: [] for mode in PARTS}
for mode, parts in PARTS.items():
    for part in parts:
        for load in runs[f"{part}, seed 0"]:
            if load not in ("before", "after"):
                each = [runs[f"{part}, seed {seed}"][load] for seed in SEEDS]
                ours = np.array([measurement(run) for run in each])
                theirs = np.array([simulation(mode, r, s) for s, r in enumerate(each)])
                row = Row(f"{part} {load}", each[0]["rate"], ours, theirs, each)
                found[mode].append(row)
    found[mode].sort(key=lambda row: row.rate)

SCALES = {"median, ms": 1000, "99th, ms": 1000, "refused, %": 100}
rows = {
    f"{mode}, {row.rate:.0f} requests/s": [
        f"{over_seeds(list(scale * row.ours[:, place]), '.0f')}"
        f" ({scale * row.theirs[:, place].mean():.0f})"
        for place, scale in enumerate(SCALES.values())
    ]
    for mode, of_mode in found.items()
    for row in of_mode
}
table(rows, ["", *SCALES]).show()

# %% checked
phases = [
    phase
    for name, run in runs.items()
    if "seed" in name
    for load, part in run.items()
    for phase in (part.values() if load in ("before", "after") else [part])
]
assert all(phase["wrong"] == phase["failed_batches"] == 0 for phase in phases)
assert all(set(phase["statuses"]) <= {"200", "429"} for phase in phases)

# %% load_figure
figure, axes = panels(2)
for axis, place, name in zip(axes, (0, 1), ("median", "99th percentile"), strict=True):
    for (mode, of_mode), colour in zip(found.items(), COLOURS, strict=False):
        rates = [row.rate for row in of_mode]
        ours = np.transpose([1000 * row.ours[:, place] for row in of_mode])
        spread(axis, rates, ours, mode, color=colour)
        theirs = [1000 * row.theirs[:, place].mean() for row in of_mode]
        axis.plot(rates, theirs, ":", color=colour, marker="", label="_")
    axis.set(yscale="log", xlabel="requests a second", ylabel=f"{name}, ms")
    ticks = [20, 50, 100, 200, 500, 1000]
    axis.set_yticks(ticks, map(str, ticks))
    axis.set_yticks([], minor=True)
legend(figure)

# %% queue_lengths
rate = 2 * measured[1]  # one at a time, twice what it can do
times = arrivals(rate, 5000, seed=5)
rows = {}
for length in (8, 32, 128):
    waits = (simulated(times, c0, c1 + around, 1, length) - times)[500:]
    rows[f"{length} places"] = [
        100 * np.isnan(waits).mean(),
        1000 * np.nanmedian(waits),
        1000 * np.nanpercentile(waits, 99),
    ]
table(rows, ["simulated", "refused, %", "median, ms", "99th, ms"], ".0f").show()

# %% load_values values
print(f"c0 = {1000 * c0:.1f}")
print(f"c1 = {1000 * c1:.1f}")
print(f"around = {1000 * around:.1f}")
print(f"gain_expected = {predicted[16] / predicted[1]:.2f}")
print(f"gain = {measured[16] / measured[1]:.2f}")
spent = known["seconds_of_batches"]
for name, kind in (("mixed", "as they come"), ("equal", "equal length")):
    print(f"gain_{name} = {16 * spent[kind]['1'] / spent[kind]['16']:.1f}")
print(f"no_model = {known['no_model']['capacity']:.0f}")
ends = [
    run[when]
    for name, run in runs.items()
    if "seed" in name
    for when in ("before", "after")
]
alone = [1000 * end["alone"]["answered_in"][0] for end in ends]
print(f"alone = {np.median(alone):.0f}")
print(f"alone_low = {min(alone):.0f}")
print(f"alone_high = {max(alone):.0f}")
drift = [
    run["after"]["full"]["capacity"] / run["before"]["full"]["capacity"] - 1
    for name, run in runs.items()
    if "seed" in name
]
print(f"drift = {100 * max(map(abs, drift)):.0f}")
NAMES = {"one at a time": "off", "batches": "on", "batches beyond": "beyond"}
for row in [row for of_mode in found.values() for row in of_mode]:
    part, _, load = row.name.rpartition(" ")
    name = f"{NAMES[part]}_{load.replace('.', '')}"
    print(f"rate_{name} = {row.rate:.0f}")
    for place, quantity in enumerate(("median", "slow", "refused")):
        scale = list(SCALES.values())[place]
        print(f"{quantity}_{name} = {scale * row.ours[:, place].mean():.0f}")
        print(f"{quantity}_{name}_expected = {scale * row.theirs[:, place].mean():.0f}")
    print(f"batch_{name} = {np.mean([run['mean_batch'] for run in row.runs]):.1f}")
    done = [row.rate * (1 - run["refused"] / run["counted"]) for run in row.runs]
    print(f"goodput_{name} = {np.mean(done):.0f}")
    print(f"little_{name} = {1000 * 32 / np.mean(done):.0f}")
    refusals = [1000 * run["refused_in"][2] for run in row.runs if run["refused_in"]]
    if refusals:
        print(f"refusal_{name} = {max(refusals):.0f}")
every = [run for of_mode in found.values() for row in of_mode for run in row.runs]
late = max(run["late"] for run in every)
print(f"late = {1000 * late:.0f}")
others = [phase["busy_others"] for phase in phases]
print(f"others = {100 * np.median(others):.0f}")
print(f"answers = {sum(sum(phase['statuses'].values()) for phase in phases)}")
