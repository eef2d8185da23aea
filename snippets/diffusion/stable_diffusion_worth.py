# %% setup
import matplotlib.pyplot as plt

from llm_tutorial.plotting import legend, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
shapes = results("diffusion", "shapes")["metrics"]
leaning = [run for name, run in shapes.items() if name.startswith("pipeline")]
even = [shapes["balanced"]]
groups = {
    "one thing": "1 of validation", "one, unseen pair": "1 of combinations",
    "two things": "2 of validation", "two, unseen pair": "2 of combinations",
}  # fmt: skip


def share(run, group, key="all", guidance="2", languages=("en", "zh")):
    """Per cent of the pictures for 150 scenes, asked for in each language."""
    asked = run["obeyed"][guidance]
    found = [asked[f"{language}, {groups[group]}"][key] for language in languages]
    return 100 * sum(found) / len(found)


# %% adherence
scales = ("1", "2", "4", "8")
rows = {
    group: [
        over_seeds([share(run, group, guidance=w) for run in leaning], ".0f")
        for w in scales
    ]
    for group in groups
}
table(rows, ["% all right", *(f"w = {w}" for w in scales)]).show()

# %% languages
rows = {
    name: [
        over_seeds([share(run, group, "all", "8", (short,)) for run in leaning], ".0f")
        for group in groups
    ]
    for short, name in (("en", "English"), ("zh", "Chinese"))
}
table(rows, ["% all right, w = 8", *groups]).show()

# %% curve
figure, (axes,) = panels()
steps = [250 * (n + 1) for n in range(len(leaning[0]["curve"]))]
for name, runs in (("captions that lean", leaning), ("all equally often", even)):
    spread(axes, steps, [run["curve"] for run in runs], name)
axes.set(xlabel="steps", ylabel="loss", yscale="log")
legend(axes)
plt.show()

# %% relation
keys = ("count", "colour", "shape", "size", "relation")
rows = {
    f"{name}: {group}": [
        over_seeds([share(run, group, key) for run in runs], ".0f") for key in keys
    ]
    for name, runs in (("lean", leaning), ("even", even))
    for group in ("two things", "two, unseen pair")
}
table(rows, ["% right, w = 2", *keys]).show()
chance = share(even[0], "two things", "relation")
learned = [share(run, "two things", "relation") for run in leaning]
assert 40 < chance < 60 < 75 < min(learned)

# %% worth_values values
for group, name in zip(groups, ("one", "one_unseen", "two", "two_unseen"), strict=True):
    found = [share(run, group) for run in leaning]
    print(f"{name} = {sum(found) / len(found):.0f}")
hues = {hue: value for hue, value in shapes["vae"].items() if hue != "all"}
print(f"vae_all = {shapes['vae']['all']:.1f}")
print(f"vae_least = {min(hues.values()):.1f}")
print(f"vae_most = {max(hues.values()):.1f}")
print(f"even_relation = {chance:.0f}")
print(f"leaning_relation = {sum(learned) / len(learned):.0f}")
strong = [share(run, "two things", guidance="8") for run in leaning]
print(f"two_at_8 = {sum(strong) / len(strong):.0f}")
print(f"even_two = {share(even[0], 'two things'):.0f}")
