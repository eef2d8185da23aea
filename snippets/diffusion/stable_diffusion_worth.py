# %% setup
import matplotlib.pyplot as plt

from llm_tutorial.plotting import legend, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
shapes = results("diffusion", "shapes")["metrics"]
seeds = [shapes[f"pipeline, seed {seed}"] for seed in range(3)]
balanced = shapes["balanced"]
groups = {
    "one thing": "1 of validation", "one thing, unseen pair": "1 of combinations",
    "two things": "2 of validation", "two things, unseen pair": "2 of combinations",
}  # fmt: skip


def share(run, guidance, group, key):
    """Of both languages together, in per cent."""
    asked = run["obeyed"][guidance]
    return 50 * sum(asked[f"{lang}, {groups[group]}"][key] for lang in ("en", "zh"))


# %% curve
figure, (axes,) = panels()
steps = [250 * (n + 1) for n in range(len(balanced["curve"]))]
spread(axes, steps, [run["curve"] for run in seeds], "three of four lean")
axes.plot(steps, balanced["curve"], label="all equally often", markevery=4)
axes.set(xlabel="steps", ylabel="loss", yscale="log")
legend(axes)
plt.show()

# %% adherence
rows = {
    group: [
        over_seeds([share(run, w, group, "all") for run in seeds], ".0f")
        for w in ("1", "2", "4", "8")
    ]
    for group in groups
}
table(rows, ["% all right", "w = 1", "w = 2", "w = 4", "w = 8"]).show()

# %% attributes
keys = ("count", "colour", "shape", "size", "relation")
rows = {
    key: [
        over_seeds([share(run, "2", group, key) for run in seeds], ".0f")
        for group in ("two things", "two things, unseen pair")
    ]
    for key in keys
}
table(rows, ["% right, w = 2", "two things", "unseen pair"]).show()

# %% languages
rows = {
    name: [
        over_seeds(
            [100 * run["obeyed"]["2"][f"{lang}, {groups[group]}"]["all"]
             for run in seeds], ".0f",
        )
        for group in groups
    ]
    for lang, name in (("en", "English"), ("zh", "Chinese"))
}  # fmt: skip
table(rows, ["% all right, w = 2", *groups]).show()

# %% relation
rows = {
    name: [
        over_seeds([share(run, "2", group, key) for run in runs], ".0f")
        for group in ("two things", "two things, unseen pair")
        for key in ("colour", "relation")
    ]
    for name, runs in (
        ("three of four lean", seeds), ("all equally often", [balanced])
    )
}  # fmt: skip
heads = ["", "colours", "relation", "unseen: colours", "unseen: relation"]
table(rows, heads).show()
assert 35 < share(balanced, "2", "two things", "relation") < 65  # as if guessed
assert min(share(run, "2", "two things", "relation") for run in seeds) > 75

# %% worth_values values
for group, name in zip(groups, ("one", "one_unseen", "two", "two_unseen"), strict=True):
    found = [share(run, "2", group, "all") for run in seeds]
    print(f"{name} = {sum(found) / 3:.0f}")
    print(f"{name}_least = {min(found):.0f}")
print(f"balanced_relation = {share(balanced, '2', 'two things', 'relation'):.0f}")
relation = [share(run, "2", "two things", "relation") for run in seeds]
print(f"leaning_relation = {sum(relation) / 3:.0f}")
print(f"vae_difference = {shapes['vae']['all']:.1f}")

# %% small
small = results("diffusion", "stable_diffusion")["metrics"]


def small_share(run, guidance):
    every = small[run]["obeyed"][guidance].values()
    return 100 * sum(each["all"] for each in every) / len(every)


rows = {
    run: [
        small[run]["parameters"] / 1e6, small[run]["flop"] / 1e6,
        small[run]["curve"][-1], small_share(run, "1"), small_share(run, "2"),
    ]
    for run in ("U-Net", "Transformer")
}  # fmt: skip
heads = ["1,200 steps", "M parameters", "MFLOP", "loss", "% right, w = 1", "w = 2"]
table(rows, heads, [".2f", ".0f", ".3f", ".0f", ".0f"]).show()

# %% dropping
rows = {
    name: [small_share(run, w) for w in ("1", "2", "4", "8")]
    for name, run in (
        ("12 % of captions dropped", "U-Net"), ("none dropped", "no caption dropped")
    )
}  # fmt: skip
table(rows, ["% right", "w = 1", "w = 2", "w = 4", "w = 8"], ".0f").show()
