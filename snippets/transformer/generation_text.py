# %% setup
import math

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

# %% greedy_text
print(of("texts", "greedy")[0]["texts"][0])

# %% people_and_machine
names = [
    "people",
    "greedy",
    "temperature 0.7",
    "top-p 0.9",
    "min-p 0.1",
    "temperature 1",
]
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

# %% likelihood_values values
for name in names:
    key = name.replace(" ", "_").replace("-", "_").replace(".", "_")
    found = of("texts", name)
    print(f"log_p_{key} = {mean([mean(one['log_likelihood']) for one in found]):.2f}")
    p = math.exp(mean([mean(one["log_likelihood"]) for one in found]))
    print(f"p_{key} = {p:.2f}")
    print(
        f"repeated_{key} = {100 * mean([mean(one['repeated']) for one in found]):.0f}"
    )
likelier = [
    a > b
    for a, b in zip(
        of("texts", "greedy")[0]["log_likelihood"],
        of("texts", "people")[0]["log_likelihood"],
        strict=True,
    )
]
print(f"greedy_likelier = {sum(likelier)}")
free = runs["texts, free to end"]
print(f"ended = {sum(length < max(free['tokens']) for length in free['tokens'])}")
print(f"repeated_free = {100 * mean(free['repeated']):.0f}")
print(f"texts = {len(likelier)}")

# %% cures
PENALTIES = (1.05, 1.1, 1.2, 1.3, 1.5)
groups = {
    "repetition penalty": [f"penalty {penalty}" for penalty in PENALTIES],
    "no repeated n-gram": [f"no repeated {n}-gram" for n in (4, 3, 2)],
    "sampling": ["temperature 0.7", "top-p 0.9", "min-p 0.1", "temperature 1"],
}
listed = ["people", "greedy", *(name for group in groups.values() for name in group)]
listed.insert(listed.index("penalty 1.3"), "penalty 1.2, prompt left out")
rows, points = {}, {}
for name in listed:
    written = of("texts", name)
    repeats = [100 * mean(one["repeated"]) for one in written]
    likelihood = [mean(one["log_likelihood"]) for one in written]
    rows[name] = [over_seeds(repeats, ".0f"), over_seeds(likelihood, ".2f"), ""]
    if name != "people":
        exact = [100 * mean(one["exact"]) for one in of("copies", name)]
        points[name] = mean(repeats), mean(exact)
        rows[name][-1] = over_seeds(exact, ".0f")
headings = ["repeated 4-grams, %", "log p of a token", "exact copies, %"]
table(rows, ["", *headings]).show()

# %% cures_values values
for name, (repeats, exact) in points.items():
    key = "".join(c if c.isalnum() else "_" for c in name)
    print(f"repeats_{key} = {repeats:.0f}")
    print(f"copies_{key} = {exact:.0f}")
print(f"signatures = {len(of('copies', 'greedy')[0]['exact'])}")

# %% cost
figure, (axes,) = panels(height=3.6)
shown = {
    "repetition penalty": ["greedy", *groups["repetition penalty"]],
    "no repeated n-gram": groups["no repeated n-gram"],
    "sampling": groups["sampling"],
}
for (label, members), style in zip(shown.items(), ("o-", "s", "^"), strict=True):
    places = [points[name] for name in members]
    axes.plot(*zip(*places, strict=True), style, label=label, lw=0.9)
    for name, (x, y) in zip(members, places, strict=True):
        if label == "sampling" or name == "greedy":
            left = name == "temperature 0.7"
            place = (x - 0.8, y + 9) if left else (x + 0.9, y)
            style = {"ha": "right" if left else "left", "va": "center_baseline"}
            axes.text(*place, name, fontsize=8.5, **style)
        elif name in ("penalty 1.05", "penalty 1.1"):
            number = axes.text(x - 0.5, y + 2.5, name.split()[1], fontsize=8.5)
            number.set(color=COLOURS[0], ha="right", gid="verbatim")
axes.text(0.7, 0, "1.2–1.5; 2, 3, 4", fontsize=8.5, va="center", gid="verbatim")
people = mean([100 * mean(one["repeated"]) for one in of("texts", "people")])
axes.axvline(people, 0.12, color=GREY, lw=1, ls="--", marker="", label="people")
axes.set(xlabel="repeated 4-grams, %", ylabel="exact copies, %")
axes.set(xlim=(-3, 33), ylim=(-8, 100))
legend(axes, ncols=2)

# %% copies_shown
greedy = of("copies", "greedy")[0]
place = greedy["exact"].index(1)  # one that greedy decoding copies
names = ["greedy", "penalty 1.1", "penalty 1.2", "penalty 1.2, prompt left out"]
for name in [*names, "no repeated 4-gram"]:
    print(f"{name}: {of('copies', name)[0]['texts'][place]}")

# %% heat
HEATS = (0.5, 1.0, 1.5, 2.0)
CUTS = {"no cut": "", "top-p 0.9": ", top-p 0.9", "min-p 0.1": ", min-p 0.1"}
likeliest = 100 * mean(runs["answers, greedy"]["greedy"]["right"])
figure, (axes,) = panels(height=3)
right = {}
for label, cut in CUTS.items():
    right[label] = [
        [
            100
            * mean(
                runs[f"answers, sampled, seed {seed}"][f"temperature {heat}{cut}"][
                    "right"
                ]
            )
            for heat in HEATS
        ]
        for seed in SEEDS
    ]
    spread(axes, HEATS, right[label], label)
axes.axhline(likeliest, color=GREY, lw=1, ls="--", marker="", label="greedy")
axes.set(xlabel="temperature", ylabel="right answers, %", ylim=(-4, 65))
axes.set_xticks(HEATS)
label_lines(axes)

# %% heat_values values
print(f"questions = {len(runs['answers, greedy']['greedy']['right'])}")
print(f"right_greedy = {likeliest:.0f}")
for label, found in right.items():
    for place, heat in enumerate(HEATS):
        key = f"{label} {heat}".replace(" ", "_").replace("-", "_").replace(".", "_")
        values = [seed[place] for seed in found]
        print(f"right_{key} = {mean(values):.0f}")
        print(f"low_{key} = {min(values):.0f}")
        print(f"high_{key} = {max(values):.0f}")
