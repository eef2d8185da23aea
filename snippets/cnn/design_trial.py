# %% setup
import numpy as np

from llm_tutorial.cnn.sweeps import unpacked
from llm_tutorial.data.openmoji import drawings, openmoji
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
trial = results("cnn", "design_trial")
TEST = trial["pictures"]["test"]
names = list(dict.fromkeys(run.rpartition(", ")[0] for run in trial["metrics"]))

# %% pictures
groups = {picture.group: picture for picture in openmoji("test")}
shown = drawings(list(groups.values()), 32)
_ = image_grid(shown[None], column_labels=[], size=0.5)

# %% alternatives
rows = {}
for name in names:
    run = by_seed(trial, name)
    rows[name] = [
        run[0]["parameters"],
        f"{run[0]['rate']:g}",
        over_seeds([100 * each["accuracy"] for each in run]),
    ]
table(rows, ["", "parameters", "rate", "right, %"], [",", "", ""]).show()

# %% answers
answers = {  # (seed, picture): was it right?
    name: np.array(
        [unpacked(run["right"], TEST).tolist() for run in by_seed(trial, name)]
    )
    for name in names
}
means = {name: 100 * right.mean() for name, right in answers.items()}
best = max(means, key=means.__getitem__)
print(f"best: {best}, {means[best]:.1f} %; the recipe: {means['recipe']:.1f} %")

# %% regret
draw = np.random.default_rng(0)


def difference(name, other, resamples=10_000):
    """Of two designs in points, and what 95 of 100 resamples span."""
    gain = answers[name][:, None].astype(int) - answers[other][None]
    who, whom = draw.integers(3, size=(2, resamples, 1))  # a seed of each
    which = draw.integers(TEST, size=(resamples, TEST))
    resampled = gain[who, whom, which].mean(1)
    return 100 * gain.mean(), *(100 * np.quantile(resampled, [0.025, 0.975]))


rows = {}
for name in names[1:]:
    points, low, high = difference(name, "recipe")
    rows[f"{name} − recipe"] = [f"{points:+.1f}", f"[{low:+.1f}, {high:+.1f}]"]
table(rows, ["", "points", "95 %"]).show()

# %% trial_values values
for part, count in trial["pictures"].items():
    print(f"{part} = {count}")
print(f"commonest = {100 * trial['commonest']:.0f}")
for name in names:
    key = name.replace("2 layers a stage", "two layers").replace(" ", "_")
    print(f"{key}_right = {means[name]:.1f}")
points, low, high = difference(best, "recipe")
print(f"regret = {points:.1f}")
print(f"regret_low = {low:.1f}")
print(f"regret_high = {high:.1f}")
