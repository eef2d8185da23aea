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


def regret(chosen, draws=2000):
    """Points behind the best alternative; what 95 of 100 draws span."""
    generator = np.random.default_rng(0)
    points = []
    for _ in range(draws):
        pictures = generator.integers(TEST, size=TEST)
        seeds = {name: generator.integers(len(a)) for name, a in answers.items()}
        right = {name: answers[name][seeds[name], pictures].mean() for name in names}
        points.append(100 * (max(right.values()) - right[chosen]))
    means = {name: answers[name].mean() for name in names}
    best = max(means, key=means.__getitem__)
    behind = 100 * (means[best] - means[chosen])
    return best, behind, *np.quantile(points, [0.025, 0.975])
