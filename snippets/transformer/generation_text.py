# %% setup
import math
import random

from llm_tutorial.plotting import COLOURS, GREY, label_lines, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
runs = results("transformer", "generation")["metrics"]
SEEDS = range(3)


def of(part, name):  # one result, or one for each seed
    greedy = runs[f"{part}, greedy"]
    if name in greedy:
        return [greedy[name]]
    return [runs[f"{part}, sampled, seed {seed}"][name] for seed in SEEDS]


def mean(values):
    return sum(values) / len(values)


# %% people_and_machine
names = ["people", "greedy", "temperature 0.7", "top-p 0.9", "min-p 0.1", "temperature 1"]
rows = {}
for name in names:
    found = of("texts", name)
    rows[name] = [
        over_seeds([100 * mean(one["repeated"]) for one in found], ".1f"),
        over_seeds([one["distinct"] for one in found], ".2f"),
        over_seeds([mean(one["log_likelihood"]) for one in found], ".2f"),
    ]
headings = ["repeated 4-grams, %", "distinct 2-grams", "log p of a token"]
table(rows, ["", *headings]).show()

# %% likelihood
figure, (axes,) = panels(height=3.2)
for name in ("greedy", "people", "temperature 1"):
    by_place = [one["by_place"] for one in of("texts", name)]
    smooth = [mean(place) for place in zip(*by_place, strict=True)]
    places = range(4, len(smooth) - 4)
    axes.plot(
        places,
        [math.exp(mean(smooth[place - 4 : place + 5])) for place in places],
        label=name,
        marker="",
    )
axes.set(xlabel="token of the continuation", ylabel="probability", ylim=(0, 1))
label_lines(axes)

# %% likelihood_values values
for name in names:
    key = name.replace(" ", "_").replace("-", "_").replace(".", "_")
    found = of("texts", name)
    print(f"log_p_{key} = {mean([mean(one['log_likelihood']) for one in found]):.2f}")
    p = math.exp(mean([mean(one["log_likelihood"]) for one in found]))
    print(f"p_{key} = {p:.2f}")
    print(f"repeated_{key} = {100 * mean([mean(one['repeated']) for one in found]):.0f}")
likelier = [
    a > b
    for a, b in zip(
        of("texts", "greedy")[0]["log_likelihood"],
        of("texts", "people")[0]["log_likelihood"],
        strict=True,
    )
]
print(f"greedy_likelier = {sum(likelier)}")
print(f"texts = {len(likelier)}")

# %% greedy_text
print(of("texts", "greedy")[0]["texts"][0])

# %% cures
cures = [
    "greedy",
    *(f"penalty {penalty}" for penalty in (1.05, 1.1, 1.2, 1.3, 1.5)),
    "penalty 1.2, prompt left out",
    *(f"no repeated {n}-gram" for n in (4, 3, 2)),
    *names[2:],
]
rows, points = {}, {}
for name in cures:
    repeats = [100 * mean(one["repeated"]) for one in of("texts", name)]
    exact = [100 * mean(one["exact"]) for one in of("copies", name)]
    likelihood = [mean(one["log_likelihood"]) for one in of("texts", name)]
    points[name] = mean(repeats), mean(exact)
    rows[name] = [
        over_seeds(repeats, ".0f"),
        over_seeds(likelihood, ".2f"),
        over_seeds(exact, ".0f"),
    ]
headings = ["repeated 4-grams, %", "log p of a token", "exact copies, %"]
table(rows, ["", *headings]).show()

# %% cost
figure, (axes,) = panels(height=3.4)
groups = {
    "repetition penalty": [name for name in cures if name.startswith("penalty 1") and "," not in name],
    "no repeated n-gram": [name for name in cures if name.startswith("no repeated")],
    "sampling": names[2:],
}
axes.plot(*points["greedy"], "*", color=GREY, markersize=10, label="greedy")
for label, members in groups.items():
    axes.plot(*zip(*(points[name] for name in members), strict=True), "o-", label=label, lw=0.8)
