# %% setup
import statistics

import matplotlib.pyplot as plt

from llm_tutorial.plotting import COLOURS, panels, use_style
from llm_tutorial.training import read_manifest

use_style()
manifest = read_manifest("lora", "sparse")
seeds = manifest["seeds"]


def of(variant: str, *path: str) -> list[float]:
    """A metric of each seed, in percent."""
    values = [manifest["metrics"][f"{variant}, seed {seed}"] for seed in seeds]
    for key in path:
        values = [value[key] for value in values]
    return [100 * value for value in values]


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):5.1f} [{min(values):5.1f} {max(values):5.1f}]"


# %% parts
VARIANTS = [
    "window", "window, gate loss", "random", "no relations", "all", "task loss alone",
    "without same surface", "without same type", "without title", "without same sentence",
]  # fmt: skip
whole = of("all", "f1")
print(f"{'':22}{'F1':>12}{'all minus it, seed by seed':>35}{'repeated new names':>24}{'gate':>8}")
for name in VARIANTS:
    f1 = of(name, "f1")
    gap = "" if name == "all" else " ".join(f"{a - b:6.1f}" for a, b in zip(whole, f1, strict=True))
    gate = statistics.mean(of(name, "gate"))
    print(f"{name:22}{spread(f1):>20}{gap:>25}{spread(of(name, 'repeated')):>26}{f'{gate:.0f} %' if gate else '-':>8}")

# %% parts_figure
figure, (axes,) = panels(height=3.6)
for place, name in enumerate(reversed(VARIANTS)):
    f1 = of(name, "f1")
    axes.plot(f1, [place] * len(f1), "o", ms=4, color=COLOURS[0 if name == "all" else 1])
    axes.plot(
        [statistics.mean(f1)] * 2, [place - 0.3, place + 0.3], "-", lw=2, color=COLOURS[0 if name == "all" else 1]
    )
axes.set_yticks(range(len(VARIANTS)), reversed(VARIANTS))
axes.set(xlabel="F1 (%)")
plt.show()

# %% quoted
mean = {name: statistics.mean(of(name, "f1")) for name in VARIANTS}
for name, value in mean.items():
    print(f"f1_{name.replace(', ', '_').replace(' ', '_')} = {value:.1f}")
print(f"gain_of_the_gate_loss = {mean['window, gate loss'] - mean['window']:.1f}")
print(f"gain_of_random_entities = {mean['random'] - mean['window, gate loss']:.1f}")
print(f"gain_over_random_entities = {mean['all'] - mean['random']:.1f}")
print(f"gain_of_the_relations = {mean['all'] - mean['no relations']:.1f}")
print(f"gain_of_the_annotation = {mean['all'] - mean['task loss alone']:.1f}")
print(f"gate_all = {statistics.mean(of('all', 'gate')):.0f}")
print(f"gate_task_loss_alone = {statistics.mean(of('task loss alone', 'gate')):.0f}")
print(f"gate_random = {statistics.mean(of('random', 'gate')):.0f}")
print(f"largest_spread = {max(max(of(name, 'f1')) - min(of(name, 'f1')) for name in VARIANTS):.1f}")
print(f"repeated_names = {manifest['metrics']['all, seed 0']['repeated_names']}")
print(f"steps = {manifest['steps']}")
print(f"minutes = {manifest['seconds'] / 60:.0f}")

# %% at_test
print(f"{'as trained':22}{spread(whole)}")
for name in ("gold at test", "random at test", "no relations at test", "no entities at test"):
    print(f"{name:22}{spread(of('all', name, 'f1'))}   repeated new names {spread(of('all', name, 'repeated'))}")
for name in ("gold", "random", "no relations", "no entities"):
    print(f"f1_{name.replace(' ', '_')}_at_test = {statistics.mean(of('all', f'{name} at test', 'f1')):.1f}")

# %% sweep
swept = read_manifest("lora", "entities")["metrics"]
rows = {
    "w = 0": "window 0", "w = 1": "learned", "w = 2": "window 2",
    "E = 8": "8 entities", "E = 32": "learned", "E = 128": "128 entities",
}  # fmt: skip
for label, name in rows.items():
    run = swept[f"{name}, seed 0"]
    print(f"{label:8} validation F1 {100 * run['validation']['f1']:5.1f} %   pairs kept {100 * run['share']:5.1f} %")
