# %% setup
import matplotlib.pyplot as plt

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import legend, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
manifest = results("diffusion", "math")
names = {
    "epsilon": "noise", "sample": "clean sample", "v_prediction": "velocity",
    "epsilon, min-SNR": "noise, min-SNR",
}  # fmt: skip
runs = {name: by_seed(manifest, kind) for kind, name in names.items()}

# %% kinds
figure, (axes,) = panels(height=3.2)
for name, seeds in runs.items():
    errors = [run["errors"] for run in seeds]
    spread(axes, range(1, 101), errors, name, marker="")
axes.set(xlabel="step t", title="error of the clean sample, beyond the best")
axes.set_yscale("log")
legend(axes, ncols=2)
plt.show()

# %% kinds_table
nats = {name: [run["nats"] for run in seeds] for name, seeds in runs.items()}
rows = {
    name: [f"{runs[name][0]['rate']:g}", over_seeds(values, ".3f")]
    for name, values in nats.items()
}
table(rows, ["prediction", "learning rate", "nats lost in the bound"]).show()
assert max(nats["velocity"]) < min(nats["noise"]) < min(nats["clean sample"])
for plain, clipped in zip(runs["noise"], runs["noise, min-SNR"], strict=True):
    assert sum(clipped["errors"][39:]) < sum(plain["errors"][39:])  # from t = 40 on

# %% kinds_values values
for short, name in zip(("noise", "sample", "velocity", "clipped"), runs, strict=True):
    print(f"nats_{short} = {sum(nats[name]) / len(nats[name]):.2f}")
last = {name: [run["errors"][-1] for run in seeds] for name, seeds in runs.items()}
print(f"last_noise = {sum(last['noise']) / 3:.0f}")
print(f"last_velocity = {sum(last['velocity']) / 3:.3f}")
[rate] = {run["rate"] for seeds in runs.values() for run in seeds}
print(f"rate = {rate:.2f}")
