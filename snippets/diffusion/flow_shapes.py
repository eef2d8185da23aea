# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.diffusion.flow import FlowEuler, flow_fractions, flow_generate
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.small_shapes import (
    ShapeNetwork,
    adherence,
    as_pictures,
    large_things,
    load_network,
    without_place,
    word_ids,
)
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    image_grid,
    label_lines,
    legend,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table

use_style()
manifest = results("diffusion", "flow")
points = results("diffusion", "flow_points")

# %% clock_weights
schedule = zero_terminal_snr(make_schedule())
half_log = schedule.snr()[:-1].log() / 2  # lambda of all timesteps but the last
often = 1 / (1000 * -np.gradient(half_log.numpy()))  # share of training per lambda
snr = torch.exp(2 * half_log).numpy()
lambdas = torch.linspace(-5, 5, 201)
f = torch.sigmoid(-lambdas)
normal = torch.exp(-(lambdas**2) / 2) / (2 * torch.pi) ** 0.5
# how often, and times what an error of x0 counts there; the first timesteps, far
# apart, are left out
curves = {
    "schedule, v": (half_log[9:], often[9:], (often * (snr + 1))[9:]),
    "flow, even": (lambdas, f * (1 - f), (1 - f) / f),
    "flow, logit-normal": (lambdas, normal, normal / f**2),
}
ratio = 1 / f**2 / (torch.exp(2 * lambdas) + 1)  # of both weights of (13)
assert ratio.min() > 0.999
assert ratio.max() < 2.001
for _, (x, density, _) in list(curves.items())[1:]:
    assert abs(torch.trapezoid(density, x) - 1) < 0.02  # (12)
figure, (left, panel_of_weights) = panels(2, height=2.8)
for name, (x, density, weight) in curves.items():
    left.plot(x, density, label=name, marker="")
    panel_of_weights.plot(x, weight, label=name, marker="")
left.set(xlabel="λ", title="share of training", xlim=(-5, 5))
panel_of_weights.set(xlabel="λ", title="weight of an error of the sample", xlim=(-5, 5))
panel_of_weights.set_yscale("log")
panel_of_weights.set_ylim(1e-3, 1e3)
legend(figure, ncols=3)
plt.show()

# %% points_figure
shares = [0.05 * place for place in range(1, 20)]
figure, (axes,) = panels(height=2.8)
for draw in ("even shares", "logit-normal shares"):
    spread(
        axes,
        shares,
        [run["errors"] for run in by_seed(points, draw)],
        draw,
        marker="",
    )
axes.set(xlabel="share of noise f", title="error of the velocity, squared")
axes.set_yscale("log")
label_lines(axes)
plt.show()

# %% points_table
places = {"0.05": 0, "0.2": 3, "0.35": 6, "0.5": 9, "0.95": 18}
errors = {
    draw: {
        share: [1000 * run["errors"][place] for run in by_seed(points, draw)]
        for share, place in places.items()
    }
    for draw in ("even shares", "logit-normal shares")
}
rows = {d: [over_seeds(e, ".0f") for e in of.values()] for d, of in errors.items()}
table(rows, ["error at f, thousandths", *places]).show()
of_even, of_uneven = errors.values()
for share in ("0.05", "0.95"):  # at both ends every seed is worse
    assert min(of_uneven[share]) > max(of_even[share])
assert max(of_uneven["0.2"]) < min(of_even["0.2"])

# %% points_values values
for share in places:
    for short, draw in (("even", of_even), ("uneven", of_uneven)):
        print(f"error_{short}_{share[2:]} = {sum(draw[share]) / 3:.0f}")

[rate] = {run["rate"] for draw in errors for run in by_seed(points, draw)}
print(f"rate_points = {rate:g}")

# %% shapes_figure
kinds, clocks = ("schedule", "flow, by v", "flow"), ("schedule", "flow")
counts = [1, 2, 5, 10, 50]


def right(kind, levels, steps, what="all"):  # by every seed, in percent
    runs = by_seed(manifest, kind)
    return [100 * run[f"obeyed, levels of {levels}"][str(steps)][what] for run in runs]


figure, axes = panels(2, height=3.0, sharey=True)
for panel, levels in zip(axes, clocks, strict=True):
    for kind in kinds:
        shares = [right(kind, levels, n) for n in counts]
        spread(panel, counts, list(zip(*shares, strict=True)), kind)
    title = f"sampled at levels of the {levels}"
    panel.set(xlabel="steps", title=title, xscale="log")
    panel.set_xticks(counts, [str(n) for n in counts], minor=False)
    panel.minorticks_off()
legend(figure, ncols=3)
plt.show()

# %% shapes_table
rows = {
    f"{kind}; levels of the {levels}": [
        over_seeds(right(kind, levels, n), ".0f") for n in counts
    ]
    for kind in kinds
    for levels in clocks
}
table(
    rows, ["right, %; trained by", "1 step", *(f"{n} steps" for n in counts[1:])]
).show()

best = max(max(right(kind, "schedule", 50)) for kind in kinds[:2])
assert min(right("flow", "flow", 50)) > best + 10
for kind in kinds:  # whatever was trained, few steps do better at the schedule's levels
    assert min(right(kind, "schedule", 5)) > sum(right(kind, "flow", 5)) / 3

# %% rates
swept = {
    f"{kind}, {rate:g}": manifest["metrics"][f"{kind}, rate {rate:g}"]
    for kind in kinds
    for rate in manifest["rates"]
}
for kind in clocks:
    swept[f"{kind}, 0.002, not clipped"] = manifest["metrics"][f"{kind}, not clipped"]
rows = {
    name: [f"{100 * run['obeyed']:.0f}", f"{run['curve'][-1]:.3f}"]
    for name, run in swept.items()
}
table(rows, ["trained by, rate", "right, %", "loss, last 50 steps"]).show()

# %% shapes_values values
for name, run in swept.items():
    short = name.replace(", ", "_").replace(" ", "_").replace(".", "")
    print(f"tuned_{short} = {100 * run['obeyed']:.0f}")
print(f"parameters = {sum(p.numel() for p in ShapeNetwork().parameters())}")
for short, kind in zip(("schedule", "by_v", "flow"), kinds, strict=True):
    for levels in clocks:
        for n in counts:
            values = right(kind, levels, n)
            print(f"{short}_{levels}_{n} = {sum(values) / 3:.0f}")
    for what in ("count", "colour", "shape"):
        values = right(kind, "flow", 50, what)
        print(f"{short}_{what} = {sum(values) / 3:.0f}")
    [rate] = {run["rate"] for run in by_seed(manifest, kind)}
    print(f"rate_{short} = {rate:g}")

# %% live
network = load_network(weights("diffusion", "flow"))  # flow, seed 0
asked = without_place(large_things(128, "validation", seed=1))
words, start = word_ids(asked), torch.Generator().manual_seed(1)
noise = torch.randn(128, 3, 16, 16, generator=start)
made = {}
for steps in (1, 2, 5, 10, 50):
    sampler = FlowEuler(flow_fractions(steps))
    made[steps] = flow_generate(
        lambda z, f: network(z, 1000 * f, words), sampler, noise
    )
at_ten = adherence(as_pictures(made[10]), asked)
kept = manifest["metrics"]["flow, seed 0"]["obeyed, levels of flow"]["10"]
assert abs(at_ten["all"] - kept["all"]) < 0.06  # its weights are in half precision

# %% pictures
rows = [as_pictures(made[steps][:10]) for steps in made]
names = [f"{n} step{'s' if n > 1 else ''}" for n in made]
image_grid(np.stack(rows), names, size=0.42)
plt.show()

# %% shifted_shapes
found = {}
for shift in (1.0, 2.0, 3.0, 5.0):
    sampler = FlowEuler(flow_fractions(5, shift))
    sample = flow_generate(lambda z, f: network(z, 1000 * f, words), sampler, noise)
    found[shift] = 100 * adherence(as_pictures(sample), asked)["all"]
rows = {f"shift {shift:g}": [value] for shift, value in found.items()}
table(rows, ["5 steps", "right, %"], ".0f").show()

# %% shifted_values values
for shift, value in found.items():
    print(f"shift_{shift:g} = {value:.0f}")
