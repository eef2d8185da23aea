# %% setup
import statistics

import matplotlib.pyplot as plt

from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results

use_style()
manifest = results("lora", "entities")
runs, seeds = manifest["metrics"], manifest["seeds"]
variants = ("window", "random", "learned", "dense", "dense, relations")
every = {name: [runs[f"{name}, seed {seed}"] for seed in seeds] for name in variants}

# %% quality
print(f"{'':18}{'pairs kept':>11}{'F1 on the test set, three seeds':>35}")
means = {}
for name, of_seeds in every.items():
    scores = [100 * result["f1"] for result in of_seeds]
    low, high = min(scores), max(scores)
    means[name] = statistics.mean(scores)
    share = of_seeds[0]["share"]
    print(f"{name:18}{share:>11.1%}{means[name]:21.1f}   [{low:.1f}, {high:.1f}]")

# %% quality_values values
for name in variants:
    print(f"f1_{name.replace(', ', '_')} = {means[name]:.1f}")
print(f"share_window = {100 * every['window'][0]['share']:.0f}")
print(f"share_learned = {100 * every['learned'][0]['share']:.0f}")
spreads = []
for of_seeds in every.values():
    scores = [result["f1"] for result in of_seeds]
    spreads.append(max(scores) - min(scores))
print(f"spread = {100 * max(spreads):.1f}")

# %% share
figure, (axes,) = panels(height=3.2)
groups = {
    "32 entities, window": ("window 0", "learned", "window 2"),
    "window 1, entities": ("window", "8 entities", "learned", "128 entities"),
    "dense": ("dense",),
    "dense, relations": ("dense, relations",),
}
for label, names in groups.items():
    chosen = [runs[f"{name}, seed 0"] for name in names]
    points = sorted((run["share"], run["validation"]["f1"]) for run in chosen)
    shares, scores = zip(*points, strict=True)
    axes.plot([100 * x for x in shares], [100 * y for y in scores], label=label)
axes.set(xscale="log", xlabel="pairs kept, %", ylabel="F1, validation")
axes.set_xticks([5, 10, 20, 50, 100], [5, 10, 20, 50, 100])
axes.minorticks_off()
legend(axes, ncols=2)
plt.show()


# %% curves
def curve(name: str) -> list[tuple[float, float, float]]:
    """Step, seconds and loss, means over the seeds."""
    by_step = zip(*(result["curve"] for result in every[name]), strict=True)
    return [tuple(map(statistics.mean, zip(*seeds, strict=True))) for seeds in by_step]


names = ("dense, relations", "learned", "dense", "window")
curves = {name: curve(name) for name in names}
whole = {name: points[-1][1] for name, points in curves.items()}
figure, (left, right) = panels(2, height=3.0, sharey=True)
for name, points in curves.items():
    steps, seconds, losses = zip(*points, strict=True)
    left.plot(steps, losses, label=name, markevery=5)
    times = [each / whole["dense"] for each in seconds]
    right.plot(times, losses, label=name, markevery=5)
left.set(xlabel="step", ylabel="loss", yscale="log")
right.set(xlabel="time / dense", ylabel="loss")
legend(figure)
plt.show()

# %% equal_time values
for sparse, dense in (("window", "dense"), ("learned", "dense, relations")):
    in_time = [point for point in curves[dense] if point[1] <= whole[sparse]]
    step, _, by_then = max(in_time)
    name = sparse.replace(" ", "_")
    print(f"time_of_dense_over_{name} = {whole[dense] / whole[sparse]:.1f}")
    print(f"steps_of_dense_by_the_end_of_{name} = {step:.0f}")
    print(f"loss_of_{name} = {curves[sparse][-1][2]:.2f}")
    print(f"loss_of_dense_after_all_steps_beside_{name} = {curves[dense][-1][2]:.2f}")
    print(f"loss_of_dense_by_the_end_of_{name} = {by_then:.2f}")
    assert whole[sparse] < whole[dense]
