# %% setup
import statistics

import matplotlib.pyplot as plt

from llm_tutorial.lora.hops import CITIES, WORDS, hop_text
from llm_tutorial.plotting import panels, use_style
from llm_tutorial.training import read_manifest

use_style()

# %% text
text = hop_text(128, "example")
words = [WORDS[token] for token in text.ids]
print(" ".join(words[:48]), "…\n")
for hops in (0, 1, 2):
    mention = next(m for m in text.mentions if m.hops == hops and (m.stated or hops) and m.stated == (hops == 0))
    name = " ".join(words[mention.place : mention.place + 2])
    print(f"{hops} hops  place {mention.place:3}  {name:14} {CITIES[mention.city]:8} distance {mention.distance}")
print(f"mentions = {len(text.mentions)}")
print(f"by_chance = {1 / len(CITIES)}")
assert len(text.mentions) == 20

# %% accuracy
manifest = read_manifest("lora", "hops")
runs = {name: run for name, run in manifest["metrics"].items() if "by_length" in run}
VARIANTS = ("dense", "dense, relations", "learned", "random", "window")


def over_seeds(variant: str, kind: str, key: str, hops: int) -> list[float]:
    values = [runs[f"{variant}, seed {seed}"][kind][key][str(hops)] for seed in manifest["seeds"]]
    return [value for value in values if value is not None]


print("percent right, mean (lowest to highest of three seeds)")
lengths = list(runs["learned, seed 0"]["by_length"])
print(" " * 24 + "".join(f"{length:>18}" for length in lengths))
for hops in (1, 2):
    for variant in VARIANTS:
        cells = [over_seeds(variant, "by_length", length, hops) for length in lengths]
        shown = "".join(
            f"{f'{100 * statistics.mean(v):.0f} ({100 * min(v):.0f} to {100 * max(v):.0f})':>18}" for v in cells
        )
        print(f"{hops} hop{'s' if hops > 1 else ' '}  {variant:16}{shown}")
for variant in VARIANTS:
    for hops in (1, 2):
        key = variant.replace(", ", "_")
        print(f"{key}_{hops}_at_4096 = {100 * statistics.mean(over_seeds(variant, 'by_length', '4096', hops)):.0f} %")

# %% distance
edges = list(runs["learned, seed 0"]["by_distance"])
figure, axes = panels(2, height=2.8)
for hops, ax in zip((1, 2), axes, strict=True):
    for variant in VARIANTS:
        cells = {int(edge): over_seeds(variant, "by_distance", edge, hops) for edge in edges}
        cells = {edge: values for edge, values in cells.items() if values}
        ax.plot(cells.keys(), [100 * statistics.mean(v) for v in cells.values()], label=variant)
        ax.fill_between(
            cells.keys(), [100 * min(v) for v in cells.values()], [100 * max(v) for v in cells.values()], alpha=0.15
        )
    ax.axhline(100 / len(CITIES), linestyle=":", marker="", color="grey")
    ax.axvline(4 * 63, linestyle="--", marker="", color="grey")  # as far as four layers of the window reach
    ax.set(xscale="log", xticks=[int(e) for e in edges], xticklabels=edges, ylim=(0, 103))
    ax.set(title=f"{hops} hop{'s' if hops > 1 else ''}", xlabel="distance, up to … tokens", ylabel="% right")
    ax.minorticks_off()
axes[0].legend(fontsize=8)
plt.show()

# %% gate
for name, run in runs.items():
    if run["chosen"]:
        print(f"{name:24} names {run['chosen']['names']:4.0%}   statements read {run['chosen']['statements']:4.0%}")

# %% sweep
for name in ("window 0", "learned", "window 2", "8 entities", "16 entities", "learned", "64 entities"):
    run = manifest["metrics"][f"{name}, seed 0"]
    right = run["by_length"]["1024"]
    print(f"{name:12} at 1,024 tokens: one hop {right['1']:4.0%}   two hops {right['2']:4.0%}")
