# %% setup
from statistics import NormalDist

import numpy as np
import torch
from torch.nn import functional as F

from llm_tutorial.cnn.design import Design
from llm_tutorial.cnn.sweeps import cued, outputs_of
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import label_lines, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.training import adamw, linear_decay

use_style()
torch.set_num_threads(1)
PHI = np.vectorize(NormalDist().cdf)
PLACES, ENERGY = 64, 5.0  # n, A
SPREADS = np.array([1, 2, 4, 8, 16, 32, 64])  # m

# %% chances
thresholds = np.linspace(-3, 8, 2201)  # t


def right_by_mean(m):
    return PHI(ENERGY * np.sqrt(m) / (2 * np.sqrt(PLACES)))


def right_by_max(m):
    strength = ENERGY / np.sqrt(m)
    without = PHI(thresholds) ** PLACES
    with_cue = PHI(thresholds) ** (PLACES - m) * PHI(thresholds - strength) ** m
    return 0.5 + 0.5 * (without - with_cue).max()


by_mean = right_by_mean(SPREADS)
by_max = np.array([right_by_max(m) for m in SPREADS])

# %% drawn
DRAWS = 10_000


def best_right(without, with_cue):
    """The share right at the best threshold on a pooled value."""
    both = np.concatenate([without, with_cue])
    below = [np.searchsorted(np.sort(x), both) / len(x) for x in (without, with_cue)]
    return 0.5 + 0.5 * (below[0] - below[1]).max()


generator = np.random.default_rng(0)
by_cut = []  # the mean of what stands above a cut, at the best of six cuts
for m, mean, top in zip(SPREADS, by_mean, by_max, strict=True):
    y = generator.standard_normal((2, DRAWS, PLACES))  # without, with a cue
    y[1, :, :m] += ENERGY / np.sqrt(m)  # which places does not matter
    assert abs(best_right(*y.mean(-1)) - mean) < 0.02
    assert abs(best_right(*y.max(-1)) - top) < 0.02
    cut = [best_right(*np.maximum(y - b, 0).mean(-1)) for b in (-9, -1, 0, 1, 2, 3)]
    by_cut.append(max(cut))

# %% picture
figure, (axes,) = panels()
axes.plot(SPREADS, 100 * by_max, label="max")
axes.plot(SPREADS, 100 * by_mean, label="mean")
axes.plot(SPREADS, 100 * np.array(by_cut), label="mean above a cut")
axes.set_xscale("log", base=2)
axes.set_xticks(SPREADS, [str(m) for m in SPREADS])
axes.set(xlabel="places with a cue", ylabel="right, %", ylim=(48, 102))
label_lines(axes)

# %% chances_values values
print(f"max_1 = {100 * by_max[0]:.1f}")
print(f"mean_1 = {100 * by_mean[0]:.1f}")
print(f"cut_1 = {100 * by_cut[0]:.1f}")  # tolerance 1%
print(f"max_all = {100 * by_max[-1]:.1f}")
print(f"mean_all = {100 * by_mean[-1]:.1f}")
print(f"cut_all = {100 * by_cut[-1]:.1f}")  # tolerance 1%
print(f"cut_8 = {100 * by_cut[3]:.1f}")  # tolerance 1%
print(f"max_8 = {100 * by_max[3]:.1f}")

# %% live differs="trained live" tolerance="20%"
found = results("cnn", "design_signals")
STEPS = found["steps"]


def trained(places, pooling, kernel, rate):
    torch.manual_seed(0)
    design = Design(widths=(8,), kernel=kernel, pooling=pooling)
    model = design.build((1, 128), outputs=2)
    optimizer = adamw(model, rate)
    schedule = linear_decay(optimizer, STEPS, warmup=20)
    for _ in range(STEPS):
        x, y = cued(64, places)  # (64, 1, 128), (64,)
        F.cross_entropy(model(x), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model.eval()


OWN = {
    (places, pooling): by_seed(found, f"{places} places, {pooling}")[0]["rate"]
    for places in (1, 16)
    for pooling in ("max", "mean", "attention")
}
rows, live = {}, {}
for places, pooling, kernel, rate in (
    (1, "max", 9, OWN[1, "max"]), (1, "mean", 9, 0.01), (1, "mean", 9, OWN[1, "mean"]),
    (16, "mean", 9, OWN[16, "mean"]), (16, "max", 9, OWN[16, "max"]),
    (16, "max", 65, OWN[16, "max"]),  # a kernel that spans eight motifs
):  # fmt: skip
    torch.manual_seed(1)
    x, y = cued(4000, places)
    model = trained(places, pooling, kernel, rate)
    right = (outputs_of(model, x).argmax(-1) == y).double().mean().item()
    maps = outputs_of(model[:3], x[y == 0])  # after the ReLU, no motif: (2000, 8, 128)
    pull = model[-1].weight[1] - model[-1].weight[0]  # (8,)
    effect = (pull * outputs_of(model[:-1], x).std(0)).abs()
    passing = (maps[:, effect.argmax()] > 0).double().mean().item()
    name = f"motifs: {places}, {pooling}, kernel {kernel}, rate {rate:g}"
    rows[name] = live[places, pooling, kernel, rate] = 100 * right, 100 * passing
columns = ["one seed", "right, %", "noise that passes the strongest filter, %"]
table(rows, columns, ".1f").show()
slow, own = live[1, "mean", 9, 0.01], live[1, "mean", 9, OWN[1, "mean"]]
thin = live[16, "mean", 9, OWN[16, "mean"]]
narrow, wide = (live[16, "max", kernel, OWN[16, "max"]] for kernel in (9, 65))
assert slow[0] < own[0] - 5 and own[1] < slow[1] / 3  # it found the cut
assert narrow[0] < thin[0] - 3 and narrow[0] < wide[0] - 3

# %% live_values values differs="trained live" tolerance="80%"
print(f"right_slow = {slow[0]:.1f}")  # tolerance 10%
print(f"right_own = {own[0]:.1f}")  # tolerance 5%
print(f"right_wide = {wide[0]:.1f}")  # tolerance 5%
print(f"right_narrow = {narrow[0]:.1f}")  # tolerance 5%
print(f"passes_slow = {slow[1]:.0f}")
print(f"passes_own = {own[1]:.1f}")
print(f"passes_thin = {thin[1]:.0f}")

# %% signals
rows = {}
for pooling in ("max", "mean", "attention"):
    rows[pooling] = []
    for places in (1, 16):
        name = f"{places} places, {pooling}"
        seeds = by_seed(found, name)
        rows[pooling] += [
            f"{seeds[0]['rate']:g}",
            over_seeds([100 * each["accuracy"] for each in seeds]),
        ]
columns = ["pooling", "rate, 1 motif", "right, %", "rate, 16 motifs", "right, %"]
table(rows, columns).show()

# %% signals_values values
for places in (1, 16):
    for pooling in ("max", "mean", "attention"):
        name = f"{places} places, {pooling}"
        right = [100 * each["accuracy"] for each in by_seed(found, name)]
        print(f"{pooling}_of_{places} = {sum(right) / len(right):.1f}")
        print(f"{pooling}_of_{places}_rate = {OWN[places, pooling]:g}")
