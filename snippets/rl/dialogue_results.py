# %% setup
import matplotlib.pyplot as plt

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import COLOURS, legend, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
runs, rewards = results("rl", "dialogue"), results("rl", "dialogue_rewards")
metrics = runs["metrics"]
NOISES = ("0", "0.1", "0.2", "0.3", "0.4")
percent = [100 * float(noise) for noise in NOISES]

# %% memory
memories = {
    "belief": by_seed(rewards, "a turn costs 1"),
    "last value": by_seed(rewards, "remembers the last value"),
}
rows = {
    name: [
        over_seeds([100 * run["test"][noise]["success"] for run in found])
        for noise in NOISES
    ]
    for name, found in memories.items()
}
heads = ["success in %, at noise", "0 %", "10 %", "20 %", "30 %", "40 %"]
table(rows, heads).show()

for whole, last in zip(*memories.values(), strict=True):
    assert whole["test"]["0.4"]["success"] > last["test"]["0.4"]["success"]

# %% memory_values values
for short, found in zip(("memory", "last"), memories.values(), strict=True):
    for noise in ("0.2", "0.4"):
        success = [100 * run["test"][noise]["success"] for run in found]
        place = f"{short}_{100 * float(noise):.0f}"
        print(f"{place} = {sum(success) / len(success):.1f}")

# %% sweep
figure, (axes,) = panels(height=2.8)
thresholds = ("0.5", "0.6", "0.7", "0.8", "0.9", "0.95", "0.98")
for noise, colour in zip(("0.1", "0.2", "0.3", "0.4"), COLOURS, strict=False):
    tried = metrics[f"by hand, noise {noise}"]["tried"]
    best = [
        max(
            tried[f"confirm {threshold}, ask {ask}, {style}"]["reward"]
            for ask in ("0", "0.2", "0.35", "0.5")
            for style in ("summary", "one by one")
        )
        for threshold in thresholds
    ]
    axes.plot(range(len(best)), best, color=colour, label=f"noise: {float(noise):.0%}")
axes.set_xticks(range(len(thresholds)), thresholds)
axes.set(xlabel="threshold of confirming", ylabel="reward")
legend(axes)
plt.show()

# %% tuned
rows = {}
for noise in NOISES[1:]:
    found = metrics[f"by hand, noise {noise}"]
    confirm, ask, style = found["best"].split(", ")
    rows[f"{float(noise):.0%}"] = [
        confirm.split()[1], ask.split()[1], style,
        f"{found['tried'][found['best']]['reward']:.1f}",
    ]  # fmt: skip
heads = ["noise", "confirms below", "asks again below", "form", "reward, validation"]
table(rows, heads).show()

# %% tuned_values values
tried = metrics["by hand, noise 0.4"]["tried"]
best = metrics["by hand, noise 0.4"]["best"]
high = "confirm 0.98, " + best.partition(", ")[2]
for short, name in (("best", best), ("high", high)):
    print(f"{short}_reward = {tried[name]['reward']:.1f}")
    print(f"{short}_lost = {100 * tried[name]['lost']:.0f}")

# %% methods
METHODS = {
    "by hand": [metrics["by hand, tuned"]],
    "imitation": by_seed(runs, "imitation"),
    "imitation, then RL": by_seed(runs, "RL"),
    "RL from scratch": by_seed(runs, "from scratch"),
}
figure, axes = panels(3, height=2.6)
MEASURES = (
    ("success", "success in %", 100), ("turns", "turns", 1), ("reward", "reward", 1),
)  # fmt: skip
for panel, (measure, title, factor) in zip(axes, MEASURES, strict=True):
    for (name, found), colour in zip(METHODS.items(), COLOURS, strict=False):
        lines = [
            [factor * run["test"][noise][measure] for noise in NOISES] for run in found
        ]
        spread(panel, percent, lines, name, color=colour)
    panel.set(title=title, xlabel="noise in %")
legend(figure)
plt.show()

# %% results
rows = {}
tried = {"by hand, as first written": [metrics["by hand, as first written"]], **METHODS}
for name, found in tried.items():
    rows[name] = [
        over_seeds([run["test"][noise]["reward"] for run in found], ".2f")
        for noise in NOISES
    ]
heads = ["reward, at noise", "0 %", "10 %", "20 %", "30 %", "40 %"]
table(rows, heads).show()
hand = metrics["by hand, tuned"]["test"]
for noise in NOISES[1:]:
    assert all(
        run["test"][noise]["reward"] > hand[noise]["reward"]
        for run in METHODS["imitation, then RL"]
    )

# %% curves
figure, (axes,) = panels(height=2.6)
for name, steps in (
    ("imitation, then RL", runs["steps"]),
    ("RL from scratch", runs["longer"]),
):
    curves = [run["curve"] for run in METHODS[name]]
    thousands = [steps * mark / 5 / 1000 for mark in range(6)]
    spread(axes, thousands, curves, name, color=COLOURS[list(METHODS).index(name)])
axes.set(xlabel="thousand turns", ylabel="reward", ylim=(0, 15))
legend(axes)
plt.show()

# %% success
rows = {
    name: [
        over_seeds([100 * run["test"]["0.2"][end] for run in found])
        for end in ("success", "wrong", "lost", "gave_up")
    ]
    for name, found in tried.items()
}
heads = ["at noise 20 %, in %", "success", "wrong booking", "user hung up", "gave up"]
table(rows, heads).show()

# %% unmet
shown = {
    "by hand": METHODS["by hand"],
    "imitation": METHODS["imitation"],
    "where RL began": by_seed(runs, "start of RL"),
    "imitation, then RL": METHODS["imitation, then RL"],
}
KINDS = ("0.2", "impatient", "terse", "change their goal", "0.3 told as 0.1")
rows = {
    name: [over_seeds([run["test"][kind]["reward"] for run in found]) for kind in KINDS]
    for name, found in shown.items()
}
heads = [
    "reward", "as trained, noise 20 %", "impatient", "terse", "change their goal",
    "noise 30 %, told 10 %",
]  # fmt: skip
table(rows, heads).show()

# %% gamed
VARIANTS = ("a turn costs 1", "a turn costs 5", "turns are free", "each yes is paid")
gamed = {name: by_seed(rewards, name) for name in VARIANTS}


def seeds(name, noise, measure, factor=1):
    return [factor * run["test"][noise][measure] for run in gamed[name]]


def listed(name, noise, measure, factor=1, form=".0f"):  # the three seeds
    return ", ".join(f"{value:{form}}" for value in seeds(name, noise, measure, factor))


rows = {
    name: [
        listed(name, "0.2", "reward", form=".1f"),
        listed(name, "0.2", "wrong", 100),
        listed(name, "0.2", "gave_up", 100),
        listed(name, "0", "turns", form=".1f"),
        listed(name, "0.4", "lost", 100),
        listed(name, "0.4", "reward", form=".1f"),
    ]
    for name in VARIANTS
}
heads = [
    "trained with", "reward, noise 20 %", "wrong, in %", "system hung up, in %",
    "turns, noise 0 %", "user hung up, noise 40 %, in %", "reward, noise 40 %",
]  # fmt: skip
table(rows, heads).show()
for free, paid, usual in zip(
    *(seeds(VARIANTS[i], "0", "turns") for i in (2, 3, 0)), strict=True
):
    assert usual < free < paid

# %% gamed_values values
hung_up = seeds("a turn costs 5", "0.2", "gave_up")
print(f"hang_ups = {sum(share > 0.9 for share in hung_up)}")
hurried = [
    run for run in gamed["a turn costs 5"] if run["test"]["0.2"]["gave_up"] < 0.1
]
print(f"hurried = {len(hurried)}")
print(f"hurried_end = {sum(run['curve'][-1] for run in hurried) / len(hurried):.1f}")
wrong = [100 * run["test"]["0.2"]["wrong"] for run in hurried]
print(f"hurried_wrong = {sum(wrong) / len(wrong):.0f}")
for short, name in zip(("one", "five", "free", "paid"), VARIANTS, strict=True):
    for noise in ("0", "0.4"):
        place = f"{short}_{100 * float(noise):.0f}"
        for measure, factor in (("turns", 1), ("lost", 100), ("reward", 1)):
            found = seeds(name, noise, measure, factor)
            form = ".0f" if measure == "lost" else ".1f"
            print(f"{measure}_{place} = {sum(found) / len(found):{form}}")

# %% results_values values
minutes = (runs["seconds"] + rewards["seconds"]) / 60
print(f"minutes = {minutes:.0f}")
for key, value in (
    ("budget", "steps"),
    ("longer",) * 2,
    ("rate",) * 2,
    ("scratch",) * 2,
):
    print(f"{key} = {runs[value]}")


def mean(found, kind, measure, factor=1):
    return sum(factor * run["test"][kind][measure] for run in found) / len(found)


everyone = {
    "first": tried["by hand, as first written"], "hand": METHODS["by hand"],
    "copy": METHODS["imitation"], "start": shown["where RL began"],
    "rl": METHODS["imitation, then RL"], "scratch": METHODS["RL from scratch"],
}  # fmt: skip
for short, found in everyone.items():
    for noise in NOISES:
        place = f"{short}_{100 * float(noise):.0f}"
        print(f"reward_{place} = {mean(found, noise, 'reward'):.1f}")
        print(f"lost_{place} = {mean(found, noise, 'lost', 100):.1f}")
        print(f"wrong_{place} = {mean(found, noise, 'wrong', 100):.1f}")
    for kind in KINDS[1:]:
        name = "told" if kind[0] == "0" else kind.split()[0]
        print(f"{short}_{name} = {mean(found, kind, 'reward'):.1f}")
for noise in ("0.2", "0.4"):
    place = f"{100 * float(noise):.0f}"
    steps = [
        mean(everyone[short], noise, "reward") for short in ("first", "hand", "rl")
    ]
    print(f"tuning_{place} = {steps[1] - steps[0]:.1f}")
    print(f"gain_{place} = {steps[2] - steps[1]:.1f}")
success = hand["0.4"]["success"]  # of a difference: twice the variance, and the seeds
print(f"se = {20 * (2 * success * (1 - success) / 3000) ** 0.5:.1f}")
agrees = [run["agrees"] for run in METHODS["imitation"]]
print(f"agrees = {100 * sum(agrees) / len(agrees):.0f}")
ends = {
    name: [metrics[f"{name}, rate {rate}"]["end"] for rate in rates]
    for name, rates in (
        ("RL", ("0.001", "0.003", "0.01", "0.03")),
        ("from scratch", ("0.003", "0.01", "0.03")),
    )
}
print(f"rl_low = {min(ends['RL']):.1f}")
print(f"rl_high = {max(ends['RL']):.1f}")
for short, end in zip(("slow", "good", "fast"), ends["from scratch"], strict=True):
    print(f"scratch_{short} = {end:.1f}")
