# %% setup
import numpy as np

from llm_tutorial.plotting import COLOURS, legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()

# %% load
runs = results("transformer", "serve_load")["metrics"]
MODES = {"one at a time": 1, "batches of 16": 16}
LOADS = ("0.5", "1", "2")  # times capacity


def seeds(mode, load, measure):  # one value for each seed
    found = [runs[f"batches of {MODES[mode]}, seed {seed}"] for seed in range(3)]
    return [measure(run[load], run["alone"]) for run in found]


def share(status):
    return lambda run, _: 100 * run["statuses"].get(status, 0) / 300


def percentile(place):  # over the latency of a request alone
    return lambda run, alone: run["percentiles"][place] / alone


COLUMNS = {
    "refused, %": share("429"),
    "median": percentile(0),
    "99th": percentile(2),
}
rows = {
    f"{mode}, load {load}": [
        over_seeds(seeds(mode, load, measure)) for measure in COLUMNS.values()
    ]
    for mode in MODES
    for load in LOADS
}
table(rows, ["", *COLUMNS]).show()
for run in runs.values():
    for load in LOADS:
        assert run[load]["wrong"] == 0
        assert set(run[load]["statuses"]) <= {"200", "429"}
        assert sum(run[load]["statuses"].values()) == 300

# %% load_figure
figure, (axes,) = panels()
for mode, colour in zip(MODES, COLOURS, strict=False):
    for place, style in ((0, "-"), (2, "--")):
        y = [np.mean(seeds(mode, load, percentile(place))) for load in LOADS]
        label = mode if style == "-" else "_"
        axes.plot([0.5, 1, 2], y, style, color=colour, label=label)
axes.set(yscale="log", xlabel="load over capacity", ylabel="latency over that alone")
axes.set_xticks([0.5, 1, 2], LOADS)
legend(axes)

# %% load_values values
gain = [
    runs[f"batches of 16, seed {seed}"]["1"]["capacity"]
    / runs[f"batches of 1, seed {seed}"]["1"]["capacity"]
    for seed in range(3)
]
print(f"capacity_gain = {np.mean(gain):.1f}")
print(f"capacity_gain_low = {min(gain):.1f}")
print(f"capacity_gain_high = {max(gain):.1f}")
for mode, key in (("one at a time", "off"), ("batches of 16", "on")):
    for load in LOADS:
        name = f"{key}_{load.replace('.', '')}"
        print(f"median_{name} = {np.mean(seeds(mode, load, percentile(0))):.1f}")
        print(f"slow_{name} = {np.mean(seeds(mode, load, percentile(2))):.1f}")
        print(f"refused_{name} = {np.mean(seeds(mode, load, share('429'))):.0f}")
batches = [
    run["batch_size_sum"] / run["batch_size_count"]
    for name, run in runs.items()
    if "of 16" in name
]
print(f"mean_batch = {np.mean(batches):.1f}")
