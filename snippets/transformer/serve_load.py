# %% setup
from typing import NamedTuple

import numpy as np

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.models import load_tokenizer
from llm_tutorial.plotting import (
    COLOURS,
    GREY,
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
summaries = [each.summary for each in documented_objects("train")]
tokens = np.array(
    [len(ids) for ids in load_tokenizer("minilm")(summaries)["input_ids"]]
)

# %% constants
texts_in, equal = np.array(  # calls with texts of 14 tokens, the median
    [(int(k), s) for k, s in known["seconds_of_batches"]["equal length"].items()]
).T
c1, c0 = np.polyfit(texts_in * np.median(tokens), equal, 1)
cr = known["no_model"]["service_seconds"]  # HTTP and tokenizing, of each request
print(f"c0 = {1e3 * c0:.1f} ms, c1 = {1e3 * c1:.3f} ms, cr = {1e3 * cr:.2f} ms")


def longest_of(size):  # the mean, of so many texts drawn by chance
    return np.random.default_rng(0).choice(tokens, (20_000, size)).max(1).mean()


generator = np.random.default_rng(0)  # the very texts that were measured
drawn = {size: [] for size in map(int, texts_in)}
for _ in range(20):
    for size, longest in drawn.items():
        longest.append(tokens[generator.choice(len(tokens), size)].max())
by_size = {}
for size, longest in drawn.items():
    expected = c0 / size + c1 * np.mean(longest)
    mixed = known["seconds_of_batches"]["as they come"][str(size)] / size
    by_size[f"{size}"] = [np.mean(longest), 1e3 * expected, 1e3 * mixed]
    assert abs(mixed / expected - 1) < 0.06
columns = ["texts in a batch", "longest, tokens", "ms a text, formula", "measured"]
table(by_size, columns, ".1f").show()


# %% queueing_curve
def cost_of(texts):  # of a batch, given the tokens of each text
    return lambda batch: c0 + len(batch) * (c1 * max(texts[i] for i in batch) + cr)


def seconds_each(size):  # of a request, in full batches of so many
    return c0 / size + c1 * longest_of(size) + cr


LOADS = {1: [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95], 16: [0.1, 0.5, 0.9, 1.1, 1.2, 1.3]}
LOADS[4] = [0.1, 0.5, 0.9, 1.1, 1.3, 1.45]
figure, (axes,) = panels()
texts = list(np.random.default_rng(1).choice(tokens, 30_000))
for size in (1, 4, 16):
    waits = []
    for load in LOADS[size]:
        times = arrivals(load / seconds_each(1), 30_000, seed=4)
        waits.append((simulated(times, cost_of(texts), size) - times).mean())
    label = "one at a time" if size == 1 else f"at most {size}"
    axes.plot(LOADS[size], np.array(waits) / seconds_each(1), label=label)
    axes.axvline(seconds_each(1) / seconds_each(size), color=GREY, lw=1, ls=":")
axes.set(xlabel="load ρ", ylabel="time from request to answer", ylim=(0, 12))
legend(axes)

# %% load
PARTS = {"one at a time": ["one at a time"], "batches": ["batches", "batches beyond"]}
LARGEST = {"one at a time": 1, "batches": 16}
SEEDS = range(3)


def capacity(part, seed):  # of the run itself, before and after its loads
    run = runs[f"{part}, seed {seed}"]
    return np.mean([run[when]["full"]["capacity"] for when in ("before", "after")])


def simulation(part, size, run, seed):  # the same arrivals, texts and bound
    times = arrivals(run["rate"], run["count"], seed)
    texts = list(np.random.default_rng(10 + seed).choice(tokens, run["count"]))
    slower = 1 / capacity(part, seed) / seconds_each(size)
    cost = cost_of(texts)
    ends = simulated(times, lambda batch: slower * cost(batch), size, 32)
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
                size = LARGEST[mode]
                theirs = np.array(
                    [simulation(part, size, run, s) for s, run in enumerate(each)]
                )
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
times = arrivals(2 / seconds_each(1), 5000, seed=5)  # twice what it can do, singly
texts = list(np.random.default_rng(2).choice(tokens, 5000))
rows = {}
for length in (8, 32, 128):
    waits = (simulated(times, cost_of(texts), 1, length) - times)[500:]
    rows[f"{length} places"] = [
        100 * np.isnan(waits).mean(),
        1000 * np.nanmedian(waits),
        1000 * np.nanpercentile(waits, 99),
    ]
table(rows, ["simulated", "refused, %", "median, ms", "99th, ms"], ".0f").show()

# %% load_values values
errors = [abs(ours / theirs - 1) for _, theirs, ours in by_size.values()]
print(f"formula_error = {np.ceil(100 * max(errors)):.0f}")
for size in (1, 16):
    answered = known[f"batches of {size}"]["full"]["capacity"]
    print(f"capacity_{size} = {answered:.0f}")
    print(f"capacity_{size}_expected = {1 / seconds_each(size):.0f}")
for size in (4, 8, 16):
    print(f"gain_{size}_expected = {seconds_each(1) / seconds_each(size):.2f}")
off = [capacity("one at a time", seed) for seed in SEEDS]
gains = [capacity("batches", seed) / off[seed] for seed in SEEDS]
print(f"gain_low = {min(gains):.2f}")
print(f"gain_high = {max(gains):.2f}")
print(f"capacity_off = {np.mean(off):.0f}")
print(f"capacity_off_low = {min(off):.0f}")
print(f"capacity_off_high = {max(off):.0f}")
ends = [r[at] for n, r in runs.items() if "seed" in n for at in ("before", "after")]
alone = np.median([end["alone"]["answered_in"][0] for end in ends])
print(f"alone = {1000 * alone:.0f}")
NAMES = {"one at a time": "off", "batches": "on", "batches beyond": "beyond"}
every = [row for of_mode in found.values() for row in of_mode]
for row in every:
    part, _, load = row.name.rpartition(" ")
    name = f"{NAMES[part]}_{load.replace('.', '')}"
    print(f"rate_{name} = {row.rate:.0f}")
    for place, quantity in enumerate(("median", "slow", "refused")):
        scale = list(SCALES.values())[place]
        print(f"{quantity}_{name} = {scale * row.ours[:, place].mean():.0f}")
        print(f"{quantity}_{name}_expected = {scale * row.theirs[:, place].mean():.0f}")
    print(f"median_{name}_low = {1000 * row.ours[:, 0].min():.0f}")
    print(f"median_{name}_high = {1000 * row.ours[:, 0].max():.0f}")
    done = np.mean([row.rate * (1 - r["refused"] / r["counted"]) for r in row.runs])
    print(f"goodput_{name} = {done:.0f}")
    print(f"little_{name} = {1000 * 32 / done:.0f}")
    refusals = [1000 * run["refused_in"][2] for run in row.runs if run["refused_in"]]
    if refusals:
        print(f"refusal_{name} = {max(refusals):.0f}")
lates = [run["late"] > 0.04 for row in every for run in row.runs]
assert len(lates) == 30
print(f"lates = {sum(lates)}")
print(f"answers = {sum(sum(phase['statuses'].values()) for phase in phases)}")
print(f"phases = {len(phases)}")
print(f"disturbed = {sum(phase['busy_others'] > 0.1 for phase in phases)}")
