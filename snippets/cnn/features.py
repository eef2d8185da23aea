# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    LAYERS,
    colour_histogram,
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    shots,
    small_pixels,
    subjects,
)
from llm_tutorial.data.openmoji import drawings
from llm_tutorial.diagrams import Diagram
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    COLOURS,
    GREY,
    image_grid,
    label_lines,
    legend,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

torch.manual_seed(0)
use_style()
manifest = results("cnn", "features")
measured = manifest["metrics"]
best = manifest["best"]  # "blocks.12", the 13th block: first of two best on validation

# %% picture
diagram = Diagram(width=24, height=12)
BLUE, ORANGE, GREEN = COLOURS[:3]
before = diagram.box(2.6, 9.5, "picture", 4.2, colour=BLUE)
for x, name, down in (
    (8.6, "stem", "32"),
    (14.4, "block 13", "192"),
    (20.8, "head", "1,280"),
):
    layer = diagram.box(x, 9.5, name, 4.6, colour=GREY)
    diagram.arrow(before, layer)
    mean = diagram.box(x, 6, ["mean over", "places"], 5.2, colour=ORANGE)
    diagram.arrow(layer, mean)
    probe = diagram.box(x, 1.6, ["linear", "probe"], 5.2, colour=GREEN)
    diagram.arrow(mean, probe, down)
    before = layer
diagram.text(8.6, 11.4, "frozen", fontsize=9)
diagram.text(2.6, 1.6, "trained", fontsize=9)
plt.show()

# %% samples
pictures = {split: subjects(split) for split in ("train", "validation", "test")}
names = group_labels(pictures["test"])[0]  # nine groups
labels = {split: group_labels(chosen)[1] for split, chosen in pictures.items()}
for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
    bases = [{each.base for each in pictures[split]} for split in (one, other)]
    assert not bases[0] & bases[1]  # no subject on both sides
firsts = [
    [each for each in pictures["test"] if each.group == name][2:5] for name in names
]
grid = np.stack([drawings(some, 64) for some in firsts], 1)[:, :, ::2, ::2]
figure = image_grid(grid // 32 * 32, [], list("123456789"), size=0.5)

# %% hook
model = load_efficientnet()  # evaluation mode, and it stays as it is
kept = {}


def keep(layer, given, output):
    kept["head"] = output.mean((2, 3))  # (pictures, 1280, rows, columns): rows go


handle = model.head.register_forward_hook(keep)
some = inputs(pictures["test"][:8], 96)  # (8, 3, 96, 96), (x - 127) / 128
with torch.no_grad():
    model(some)
handle.remove()
library = pooled_features(model, some, LAYERS)  # all layers in one pass
assert kept["head"].allclose(library["head"], atol=1e-4)
print(
    {
        name: each.shape[1]
        for name, each in library.items()
        if name in ("stem", best, "head")
    }
)

# %% extract
features = {}
for split, chosen in pictures.items():
    found = pooled_features(model, inputs(chosen, 96), [best, "head"])
    pixels = drawings(chosen, 64)
    found |= {"pixels": small_pixels(pixels), "colours": colour_histogram(pixels)}
    features[split] = found


# %% probe
def linear_probe(x, y, strength):  # standardised (n, features), (n,)
    weight = torch.zeros(len(names), x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(len(names), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=200, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        fit = F.cross_entropy(x @ weight.T + bias, y, reduction="sum")
        value = strength * fit + weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


known = features["train"][best].double()  # block 13: 192 features
standard = (known - known.mean(0)) / known.std(0).clamp_min(1e-6)
weight, bias = linear_probe(standard, labels["train"], strength=0.1)
library = LogisticRegression(C=0.1, tol=1e-6, max_iter=1000)
library.fit(standard.numpy(), labels["train"].numpy())
theirs = torch.from_numpy(library.coef_)
assert weight.allclose(theirs, atol=1e-3)
unseen = (features["test"][best] - known.mean(0)) / known.std(0).clamp_min(1e-6)
mine = (unseen @ weight.T + bias).softmax(-1)
theirs = torch.from_numpy(library.predict_proba(unseen.numpy()))
assert mine.allclose(theirs, atol=1e-3)

# %% judged
probe = fit_probe(
    features["train"]["head"],
    labels["train"],
    (features["validation"]["head"], labels["validation"]),
)  # the best of eight values of C
right = probe.accuracy(features["test"]["head"], labels["test"])
most = labels["train"].bincount().argmax()
majority = (labels["test"] == most).double().mean().item()
print(f"right: {100 * right:.1f} %, always “{names[most]}”: {100 * majority:.1f} %")
assert abs(right - measured["head at 96"]["test"]) < 0.01

# %% layers
figure, (axes,) = panels(height=3.2)
places = range(len(LAYERS))
for side in (64, 96, 128):
    runs = [100 * measured[f"{name} at {side}"]["test"] for name in LAYERS]
    axes.plot(places, runs, label=f"{side} pixels")
for name, colour in (("pixels", COLOURS[4]), ("colours", COLOURS[3])):
    level = 100 * measured[name]["test"]
    axes.plot(
        places, [level] * len(LAYERS), color=colour, marker="", ls="--", label=name
    )
axes.set_xticks([0, 4, 8, 12, 17], ["stem", "4", "8", "12", "head"])
axes.set_xlabel("layer")
axes.set_ylabel("right, %")
legend(axes, ncols=3)
plt.show()

# %% few
figure, (axes,) = panels(height=3.2)
counts = [*manifest["counts"][:-1], 120]
LABELS = {"head": "head", best: "block 13", "pixels": "pixels", "colours": "colours"}
for name, label in LABELS.items():
    runs = [
        [100 * each for each in metrics["test"]]
        for metrics in by_seed(manifest, f"few {name}")
    ]
    spread(axes, counts, runs, label)
axes.set_xscale("log")
axes.set_xticks(counts, [*map(str, counts[:-1]), "all"])
axes.minorticks_off()
axes.set_xlabel("labels for each group")
axes.set_ylabel("right, %")
label_lines(axes)
plt.show()


# %% unlabelled
def one_each(name, seed, scaled_by=None, **fixed):
    chosen = shots(labels["train"], 1, seed)  # nine pictures
    x, y = features["train"][name][chosen], labels["train"][chosen]
    held_out = features["validation"][name], labels["validation"]
    probe = fit_probe(x, y, held_out, scaled_by=scaled_by, **fixed)
    alive = probe.scale > 1e-6  # a constant feature has weight 0 and does no harm
    z = ((features["test"][name] - probe.mean) / probe.scale)[:, alive]
    accuracy = probe.accuracy(features["test"][name], labels["test"])
    return 100 * accuracy, z.abs().max().item()


rows, one = {}, {}
for name, label in LABELS.items():
    for scaled_by, by in ((None, "nine"), (features["train"][name], "all")):
        runs = [one_each(name, seed, scaled_by) for seed in range(5)]
        fixed = [one_each(name, seed, scaled_by, strengths=[0.01]) for seed in range(5)]
        one[label, by] = [accuracy for accuracy, _ in runs]
        rows[f"{label}, scaled by {by}"] = [
            over_seeds(one[label, by]),
            over_seeds([accuracy for accuracy, _ in fixed]),
            f"{np.median([largest for _, largest in runs]):,.0f}",
        ]
columns = ["one label a group", "right, %", "with C = 0.01", "largest |z| in the test"]
table(rows, columns).show()
assert np.mean(one["head", "all"]) > np.mean(one["head", "nine"])

# %% strengths
chosen = shots(labels["train"], 20, seed=0)
x, y = features["train"]["head"][chosen], labels["train"][chosen]
rows = {}
for strength in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 10):
    each = fit_probe(x, y, strengths=[strength])
    rows[f"{strength:g}"] = [
        100 * each.accuracy(x, y),
        100 * each.accuracy(features["validation"]["head"], labels["validation"]),
    ]
columns = ["C", "training, %", "validation, %"]
table(rows, columns, ".1f").show()

# %% numbers values
for split, chosen in pictures.items():
    print(f"count_{split} = {len(chosen)}")
print(f"right_head = {100 * measured['head at 96']['test']:.0f}")
print(f"right_best = {100 * measured[f'{best} at 96']['test']:.0f}")
print(f"right_wide = {100 * measured['head at 128']['test']:.0f}")
print(f"right_small = {100 * measured['head at 64']['test']:.0f}")
for name in ("head", best):
    label = "best" if name == best else name
    print(f"chosen_{label} = {100 * measured[f'{name} at 96']['validation']:.0f}")
for name in ("pixels", "colours"):
    print(f"right_{name} = {100 * measured[name]['test']:.0f}")
for layer in ("stem", "blocks.4", "blocks.9"):
    label = layer.replace("blocks.", "block_")
    print(f"right_{label} = {100 * measured[f'{layer} at 96']['test']:.0f}")
print(f"most = {names[most]}")
print(f"majority = {100 * majority:.0f}")
share = measured["head at 96"]["test"]
print(f"error = {100 * (share * (1 - share) / len(labels['test'])) ** 0.5:.1f}")
for name in ("head", best, "pixels", "colours"):
    runs = np.array([each["test"] for each in by_seed(manifest, f"few {name}")])
    label = "best" if name == best else name
    for place, count in enumerate(manifest["counts"][:-1]):
        print(f"few_{label}_{count} = {100 * runs[:, place].mean():.0f}")
for (label, by), runs in one.items():
    print(f"one_{label.replace(' ', '_')}_{by} = {np.mean(runs):.0f}")  # tolerance 10%
for side in (64, 96, 128):
    for name, label in (("head", "head"), (best, "best")):
        each = measured[f"{name} at {side}"]
        print(f"{label}_{side} = {100 * each['test']:.0f}")
        print(f"{label}_{side}_validation = {100 * each['validation']:.0f}")
tied = [
    n
    for n in LAYERS
    if measured[f"{n} at 96"]["validation"] == measured[f"{best} at 96"]["validation"]
]
print(f"tied = {len(tied)}")
print(f"fewest = {labels['train'].bincount().min()}")
print(f"minutes = {manifest['seconds'] / 60:.0f}")
