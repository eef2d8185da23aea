# %% setup
import statistics

import matplotlib.pyplot as plt

from llm_tutorial.plotting import COLOURS, panels, use_style
from llm_tutorial.results import results

use_style()
practice, parts = results("lora", "entities"), results("lora", "sparse")


def of(manifest: dict, variant: str, *path: str) -> list[float]:
    """A metric of each seed, in percent."""
    runs, seeds = manifest["metrics"], manifest["seeds"]
    values = [runs[f"{variant}, seed {seed}"] for seed in seeds]
    for key in path:
        values = [value[key] for value in values]
    return [100 * value for value in values]


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} [{min(values):.1f} {max(values):.1f}]"


# %% compared
names = ("dense", "dense, relations", "window", "random", "learned")
for name in names:
    kept = f"{of(practice, name, 'share')[0]:.0f} % of pairs"
    print(f"{name:24}{spread(of(practice, name, 'test', 'f1')):>20}{kept:>18}")
gold = of(practice, "learned", "gold entities", "f1")
print(f"{'learned, gold at test':24}{spread(gold):>20}")
found = {name: statistics.mean(of(practice, name, "test", "f1")) for name in names}

# %% compared_values values
print(f"f1_dense = {found['dense']:.1f}")
print(f"f1_window = {found['window']:.1f}")
print(f"f1_random = {found['random']:.1f}")
print(f"f1_learned = {found['learned']:.1f}")
print(f"f1_gold = {statistics.mean(gold):.1f}")
gate = {name: of(practice, name, "test", "gate") for name in ("learned", "random")}
print(f"gate_precision = {statistics.mean(gate['learned']):.0f}")
print(f"gate_of_random = {statistics.mean(gate['random']):.0f}")

# %% parts
ORDER = (
    "window", "window, gate loss", "random", "no relations", "all", "task loss alone",
    "without same surface", "without same type",
    "without title", "without same sentence",
)  # fmt: skip
variants = [name for name in ORDER if f"{name}, seed 0" in parts["metrics"]]
whole = of(parts, "all", "f1")
print(f"{'':24}{'F1':>20}{'all less it, by seed':>24}{'repeated new names':>24}")
for name in variants:
    f1, repeated = of(parts, name, "f1"), of(parts, name, "repeated")
    gaps = " ".join(f"{a - b:+.1f}" for a, b in zip(whole, f1, strict=True))
    print(f"{name:24}{spread(f1):>20}{gaps:>24}{spread(repeated):>24}")

# %% parts_figure
figure, (axes,) = panels(height=0.4 + 0.3 * len(variants))
for place, name in enumerate(reversed(variants)):
    f1, colour = of(parts, name, "f1"), COLOURS[0 if name == "all" else 1]
    axes.plot(f1, [place] * len(f1), "o", ms=4, color=colour)
    x, y = [statistics.mean(f1)] * 2, [place - 0.3, place + 0.3]
    axes.plot(x, y, "-", marker="", lw=2, color=colour)
axes.set_yticks(range(len(variants)), reversed(variants))
axes.set(xlabel="F1 (%)")
plt.show()


# %% quoted values
def less(one: str, other: str) -> list[float]:
    """Seed by seed, how much higher one F1 is than another."""
    pairs = zip(of(parts, one, "f1"), of(parts, other, "f1"), strict=True)
    return [a - b for a, b in pairs]


def mean(variant: str, metric: str) -> float:
    return statistics.mean(of(parts, variant, metric))


assert min(less("window, gate loss", "window")) > 0
assert max(less("task loss alone", "window")) < 0
assert max(map(abs, less("all", "no relations"))) < 1
of_seeds = [of(parts, name, "f1") for name in variants]
print(f"largest_spread = {max(max(f1) - min(f1) for f1 in of_seeds):.1f}")
gain = statistics.mean(less("window, gate loss", "window"))
print(f"gate_loss_over_window = {gain:.1f}")
print(f"all_over_window = {statistics.mean(less('all', 'window')):.1f}")
print(f"all_over_gate_loss = {statistics.mean(less('all', 'window, gate loss')):.1f}")
print(f"relations_at_most = {max(map(abs, less('all', 'no relations'))):.1f}")
without = [name for name in variants if name.startswith("without")]
gaps = [abs(gap) for name in without for gap in less("all", name)]
print(f"one_kind_at_most = {max(gaps):.1f}")
print(f"f1_task_loss_alone = {mean('task loss alone', 'f1'):.1f}")
print(f"gate_task_loss_alone = {mean('task loss alone', 'gate'):.0f}")
print(f"gate_all = {mean('all', 'gate'):.0f}")
print(f"repeated_names = {parts['metrics']['all, seed 0']['repeated_names']}")
print(f"repeated_all = {mean('all', 'repeated'):.0f}")
print(f"repeated_gate_loss = {mean('window, gate loss', 'repeated'):.0f}")

# %% at_test
print(f"{'as trained':24}{spread(whole):>20}")
changes = []
for name in ("gold", "random", "no relations", "no entities"):
    f1 = of(parts, "all", f"{name} at test", "f1")
    print(f"{f'{name} at test':24}{spread(f1):>20}")
    changes += [a - b for a, b in zip(f1, whole, strict=True)]

# %% at_test_values values
print(f"largest_change_at_test = {max(map(abs, changes)):.1f}")

# %% sweep
rows = {
    "w = 0": "window 0", "w = 1": "learned", "w = 2": "window 2",
    "E = 8": "8 entities", "E = 32": "learned", "E = 128": "128 entities",
}  # fmt: skip
swept = {label: practice["metrics"][f"{name}, seed 0"] for label, name in rows.items()}
f1 = []
for label, run in swept.items():
    f1.append(100 * run["validation"]["f1"])
    kept = f"pairs kept {100 * run['share']:.1f} %"
    print(f"{label:8} validation F1 {f1[-1]:.1f} %   {kept}")

# %% sweep_values values
print(f"lowest_swept = {min(f1):.1f}")
print(f"highest_swept = {max(f1):.1f}")
of_seeds = of(practice, "learned", "validation", "f1")
print(f"lowest_seed = {min(of_seeds):.1f}")
print(f"highest_seed = {max(of_seeds):.1f}")
