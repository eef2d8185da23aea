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
    mention = next(m for m in text.mentions if m.hops == hops and (m.stated or hops) and m.stated == (hops == 0))
    name = " ".join(words[mention.place : mention.place + 2])
    print(f"{hops} hops  place {mention.place:3}  {name:14} {CITIES[mention.city]:8} distance {mention.distance}")


def commonest(text: HopText) -> float:
    """How often the city that most of the four are in is the answer."""
    city = Counter(m.city for m in text.mentions if m.stated and m.hops == 0).most_common(1)[0][0]
    return statistics.mean(m.city == city for m in text.mentions if not m.stated)


print(f"commonest = {100 * statistics.mean(commonest(hop_text(4096, f'test/{i}')) for i in range(16)):.0f}")
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
    values = [runs[f"{variant}, seed {seed}"][kind][key][str(hops)] for seed in manifest["seeds"]]
    return [100 * value for value in values if value is not None]


print("hops" + "tokens".rjust(20) + "".join(f"{int(length):>14,}" for length in lengths))
for hops, variant in itertools.product((1, 2), VARIANTS):
    cells = [over_seeds(variant, "by_length", length, hops) for length in lengths]
    shown = "".join(f"{f'{statistics.mean(v):.0f} ({min(v):.0f}-{max(v):.0f})':>14}" for v in cells)
    print(f"{hops:4} {variant:>19}{shown}")
longer = runs["dense, longer"]["by_length"][lengths[-1]]
sizes = [runs[f"{variant}, seed 0"]["parameters"] for variant in VARIANTS]
assert max(sizes) < 1.01 * min(sizes)
assert min(over_seeds("learned", "by_length", "4096", 1)) > max(over_seeds("dense, relations", "by_length", "4096", 1))

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
        cells = {int(edge): over_seeds(variant, "by_distance", edge, hops) for edge in edges}
        cells = {edge: values for edge, values in cells.items() if values}
        line = ax.plot(cells.keys(), [statistics.mean(v) for v in cells.values()], marker=marker, label=variant)
        low, high = zip(*((min(v), max(v)) for v in cells.values()), strict=True)
        ax.fill_between(cells.keys(), low, high, color=line[0].get_color(), alpha=0.15)
    ax.axhline(100 / len(CITIES), linestyle=":", marker="", color=GREY)
    ax.axvline(4 * 32 + 31, linestyle="--", marker="", color=GREY)  # as far as four layers of the window reach
    ax.set(xscale="log", xticks=[int(e) for e in edges], xticklabels=edges, ylim=(0, 103))
    ax.set(title=f"{hops} hop{'s' if hops > 1 else ''}", xlabel="distance, up to … tokens", ylabel="% right")
    ax.minorticks_off()
legend(figure, ncols=5)
plt.show()

# %% gate
for variant in ("learned", "random"):
    found = [runs[f"{variant}, seed {seed}"]["chosen"] for seed in manifest["seeds"]]
    print(f"{variant:8}", *(f"{kind} {100 * statistics.mean(f[kind] for f in found):.0f} %  " for kind in found[0]))
pace = {
    variant: statistics.mean(runs[f"{variant}, seed {s}"]["curve"][-1][1] for s in range(3)) for variant in VARIANTS
}

# %% gate_values values
print(f"time_of_learned = {pace['learned'] / pace['dense']:.1f}")  # tolerance 50%

# %% sweep
for name in ("window 0", "window 2", "8 entities", "16 entities", "32 entities", "64 entities"):
    run = runs[f"{name}, seed 0"]
    right = run["by_length"]["1024"]
    print(
        f"{name:12} one hop {right['1']:4.0%}   two hops {right['2']:4.0%}   statements {run['chosen']['statements']:4.0%}"
    )
