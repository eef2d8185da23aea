# %% setup
import itertools
import statistics
from collections import Counter

import matplotlib.pyplot as plt

from llm_tutorial.lora.hops import CITIES, WORDS, HopText, hop_text
from llm_tutorial.plotting import GREY, legend, panels, use_style
from llm_tutorial.results import results

use_style()

# %% text
text = hop_text(128, "example")
words = [WORDS[token] for token in text.ids]
print(" ".join(words[:48]), "…\n")
for hops in (0, 1, 2):
    of_kind = [m for m in text.mentions if m.hops == hops and m.stated == (hops == 0)]
    place, city = of_kind[0].place, CITIES[of_kind[0].city]
    named = f"place {place:3}  {' '.join(words[place : place + 2]):14} {city:8}"
    print(f"{hops} hops  {named} distance {of_kind[0].distance}")


def commonest(text: HopText) -> float:
    """How often the city that most of the four are in is the answer."""
    stated = Counter(m.city for m in text.mentions if m.stated and m.hops == 0)
    city, _ = stated.most_common(1)[0]
    return statistics.mean(m.city == city for m in text.mentions if not m.stated)


shares = [commonest(hop_text(4096, f"test/{i}")) for i in range(16)]
print(f"commonest = {100 * statistics.mean(shares):.0f}")
assert len(text.mentions) == 20

# %% text_values values
print(f"mentions = {len(text.mentions)}")
print(f"by_chance = {1 / len(CITIES)}")

# %% accuracy
manifest = results("lora", "hops")
runs = manifest["metrics"]
VARIANTS = ("window", "dense", "dense, relations", "random", "learned")
lengths = list(runs["learned, seed 0"]["by_length"])


def over_seeds(variant: str, kind: str, key: str, hops: int) -> list[float]:
    """Percent right, of each seed."""
    of_seeds = [runs[f"{variant}, seed {seed}"][kind] for seed in manifest["seeds"]]
    values = [run[key][str(hops)] for run in of_seeds]
    return [100 * value for value in values if value is not None]


print(f"hops{'tokens':>20}" + "".join(f"{int(length):>14,}" for length in lengths))
for hops, variant in itertools.product((1, 2), VARIANTS):
    row = f"{hops:4} {variant:>19}"
    for length in lengths:
        right = over_seeds(variant, "by_length", length, hops)
        cell = f"{statistics.mean(right):.0f} ({min(right):.0f}-{max(right):.0f})"
        row += f"{cell:>14}"
    print(row)
longer = runs["dense, longer"]["by_length"][lengths[-1]]
sizes = [runs[f"{variant}, seed 0"]["parameters"] for variant in VARIANTS]
assert max(sizes) < 1.01 * min(sizes)
learned = over_seeds("learned", "by_length", "4096", 1)
assert min(learned) > max(over_seeds("dense, relations", "by_length", "4096", 1))

# %% accuracy_values values
for variant, hops in itertools.product(VARIANTS, (1, 2)):
    farthest = statistics.mean(over_seeds(variant, "by_length", lengths[-1], hops))
    print(f"{variant.replace(', ', '_')}_{hops} = {farthest:.0f}")
print(f"times_longer = {int(lengths[-1]) // 256}")
print(f"worst_seed = {min(over_seeds('learned', 'by_length', '4096', 2)):.0f}")
print(f"dense_longer = {100 * longer['1']:.0f}")

# %% distance
edges = list(runs["learned, seed 0"]["by_distance"])
figure, axes = panels(2, height=2.8)
for hops, ax in zip((1, 2), axes, strict=True):
    for variant, marker in zip(VARIANTS, "^osDP", strict=True):
        cells = {}
        for edge in edges:
            if right := over_seeds(variant, "by_distance", edge, hops):
                cells[int(edge)] = right
        mean = [statistics.mean(right) for right in cells.values()]
        low, high = map(min, cells.values()), map(max, cells.values())
        (line,) = ax.plot(cells.keys(), mean, marker=marker, label=variant)
        band = {"color": line.get_color(), "alpha": 0.15}
        ax.fill_between(cells.keys(), list(low), list(high), **band)
    ax.axhline(100 / len(CITIES), linestyle=":", marker="", color=GREY)
    # as far as four layers of the window reach
    ax.axvline(4 * 32 + 31, linestyle="--", marker="", color=GREY)
    ax.set(xscale="log", ylim=(0, 103))
    ax.set(xlabel="distance, up to … tokens", ylabel="% right")
    ax.set_title(f"{hops} hop{'s' if hops > 1 else ''}")
    ax.set_xticks([int(edge) for edge in edges], edges)
    ax.minorticks_off()
legend(figure, ncols=5)
plt.show()

# %% gate
for variant in ("learned", "random"):
    found = [runs[f"{variant}, seed {seed}"]["chosen"] for seed in manifest["seeds"]]
    mean = {kind: statistics.mean(each[kind] for each in found) for kind in found[0]}
    shares = (f"{kind} {100 * share:.0f} %  " for kind, share in mean.items())
    print(f"{variant:8}", *shares)
pace = {}
for variant in VARIANTS:
    curves = [runs[f"{variant}, seed {seed}"]["curve"] for seed in range(3)]
    pace[variant] = statistics.mean(curve[-1][1] for curve in curves)

# %% gate_values values
print(f"time_of_learned = {pace['learned'] / pace['dense']:.1f}")  # tolerance 50%

# %% sweep
names = ["window 0", "window 2", *(f"{count} entities" for count in (8, 16, 32, 64))]
for name in names:
    run = runs[f"{name}, seed 0"]
    one, two = (run["by_length"]["1024"][hops] for hops in "12")
    chosen = run["chosen"]["statements"]
    right = f"one hop {one:4.0%}   two hops {two:4.0%}"
    print(f"{name:12} {right}   statements {chosen:4.0%}")
