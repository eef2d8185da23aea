# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.data.shapes import scenes
from llm_tutorial.diffusion.flow import FlowEuler, flow_fractions, flow_generate
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.small_shapes import (
    adherence,
    as_pictures,
    drawn,
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

# %% clock_weights
schedule = zero_terminal_snr(make_schedule())
half_log = schedule.snr()[:-1].log() / 2  # lambda at every timestep but the last
often = 1 / (1000 * -np.gradient(half_log.numpy()))  # share of training per lambda
snr = torch.exp(2 * half_log).numpy()
lambdas = torch.linspace(-5, 5, 201)
f = torch.sigmoid(-lambdas)
normal = torch.exp(-(lambdas**2) / 2) / (2 * torch.pi) ** 0.5
curves = {  # how often, and times what an error of x0 counts there
    "schedule, v": (half_log, often, often * (snr + 1)),
    "flow, even": (lambdas, f * (1 - f), (1 - f) / f),
    "flow, logit-normal": (lambdas, normal, normal / f**2),
}
figure, (left, right) = panels(2, height=2.8)
for name, (x, density, weight) in curves.items():
    left.plot(x, density, label=name, marker="")
    right.plot(x, weight, label=name, marker="")
left.set(xlabel="λ", title="share of training", xlim=(-5, 5))
right.set(xlabel="λ", title="weight of an error of the sample", xlim=(-5, 5))
right.set_yscale("log")
right.set_ylim(1e-3, 1e3)
legend(figure, ncols=3)
plt.show()

# %% points_figure
shares = [0.05 * place for place in range(1, 20)]
figure, (axes,) = panels(height=2.8)
for draw in ("even fractions", "logit-normal fractions"):
    spread(
        axes,
        shares,
        [run["errors"] for run in by_seed(manifest, draw)],
        draw,
        marker="",
    )
axes.set(xlabel="share of noise f", title="error of the velocity, squared")
axes.set_yscale("log")
label_lines(axes)
plt.show()

# %% points_table
places = {"0.05": 0, "0.25": 4, "0.5": 9, "0.75": 14, "0.95": 18}
rows = {
    draw: [
        over_seeds(
            [1000 * run["errors"][place] for run in by_seed(manifest, draw)], ".0f"
        )
        for place in places.values()
    ]
    for draw in ("even fractions", "logit-normal fractions")
}
table(rows, ["error at f, thousandths", *places]).show()

# %% shapes_figure
clocks, asked = ("schedule", "flow"), ("four words", "colour and shape")
counts = [2, 5, 10, 50]


def obeyed(clock, words, levels, steps):  # of every seed, in percent
    runs = by_seed(manifest, clock)
    return [
        100 * run[f"{words}, levels of {levels}"][str(steps)]["all"] for run in runs
    ]


figure, axes = panels(2, height=2.9, sharey=True)
for panel, words in zip(axes, asked, strict=True):
    for clock in clocks:
        for levels in clocks:
            shares = [obeyed(clock, words, levels, n) for n in counts]
            name = f"trained: {clock}, levels: {levels}"
            dashed = "-" if levels == clock else "--"
            spread(
                panel, counts, list(zip(*shares, strict=True)), name, linestyle=dashed
            )
    panel.set(xlabel="steps", title=f"{words}: all right, %", xscale="log")
    panel.set_xticks(counts, [str(n) for n in counts], minor=False)
legend(figure, ncols=2)
plt.show()

# %% shapes_table
rows = {}
for words in asked:
    for clock in clocks:
        rows[f"{words}; {clock}, its own levels"] = [
            over_seeds(obeyed(clock, words, clock, n), ".0f") for n in counts
        ]
table(rows, ["all right, %", *(f"{n} steps" for n in counts)]).show()

# %% live
network = load_network(weights("diffusion", "flow"))
wanted = scenes(96, "validation", seed=1, things=1)
ids, start = (
    word_ids(wanted),
    torch.randn(96, 12, 8, 8, generator=torch.Generator().manual_seed(1)),
)
made = {}
for steps in (1, 2, 5, 50):
    sampler = FlowEuler(flow_fractions(steps))
    made[steps] = as_pictures(
        flow_generate(lambda z, f: network(z, 1000 * f, ids), sampler, start)
    )
live = adherence(made[5], wanted)
kept = manifest["metrics"]["flow, seed 0"]["four words, levels of flow"]["5"]
assert abs(live["all"] - kept["all"]) < 0.06

# %% pictures
rows = [made[1][:8], made[2][:8], made[5][:8], made[50][:8], drawn(wanted[:8])]
image_grid(
    np.stack(rows), ["1 step", "2 steps", "5 steps", "50 steps", "drawn"], size=0.5
)
plt.show()

# %% open_words
loose = word_ids(without_place(wanted))
free = {}
for steps in (1, 2, 5, 50):
    sampler = FlowEuler(flow_fractions(steps))
    free[steps] = as_pictures(
        flow_generate(lambda z, f: network(z, 1000 * f, loose), sampler, start)[:8]
    )
image_grid(np.stack(list(free.values())), [f"{n} steps" for n in free], size=0.5)
plt.show()
