# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.digits import digit_tensors, warped
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    bars,
    image_grid,
    label_lines,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.rollout import trained_vit
from llm_tutorial.transformer.vit import VisionConfig, VisionTransformer, convolutional

use_style()
manifest = results("transformer", "vit")
runs, sizes, names = manifest["metrics"], (100, 300, 1000, 4000), ("ViT", "CNN")
images, labels = digit_tensors("test")

# %% models
vit, cnn = VisionTransformer(VisionConfig()), convolutional()


def multiplications(model):
    """Of one picture: each weight of a layer, at each place that uses it."""
    counted = []

    def count(layer, inputs, output):
        if isinstance(layer, torch.nn.Conv2d):
            counted.append(layer.weight.numel() * output[0, 0].numel())
        elif isinstance(layer, torch.nn.Linear):
            counted.append(layer.weight.numel() * output[0].numel() // output.shape[-1])

    hooks = [layer.register_forward_hook(count) for layer in model.modules()]
    with torch.no_grad():
        model.eval()(images[:1])
    for hook in hooks:
        hook.remove()
    return sum(counted)


attending = 4 * 2 * 17 * 17 * 64  # 4 layers: queries with keys, weights with values
rows = {
    "ViT": [multiplications(vit) + attending, sum(p.numel() for p in vit.parameters())],
    "CNN": [multiplications(cnn), sum(p.numel() for p in cnn.parameters())],
}
table(rows, ["", "multiplications", "parameters"], ",").show()

# %% models_values values
for name, (products, parameters) in rows.items():
    print(f"products_{name} = {products / 1e6:.2f}")
    print(f"parameters_{name} = {parameters / 1e3:.0f}")

# %% augmentations
torch.manual_seed(0)
one = images[4:5].repeat(8, 1, 1, 1)
grid = np.stack([warped(one, kind)[:, 0] for kind in ("shift", "affine")])
image_grid(0.9 - 0.9 * grid, ["shift", "affine"], size=0.5)
plt.show()

# %% accuracy
found = {
    (name, count): by_seed(manifest, f"{name}, {count} pictures")
    for count in sizes
    for name in names
}
wrong = {
    key: [100 - 100 * run["accuracy"] for run in each] for key, each in found.items()
}
figure, (axes,) = panels(1)
for name in names:
    by_size = zip(*(wrong[name, count] for count in sizes), strict=True)
    spread(axes, sizes, list(by_size), name)
axes.set(xscale="log", yscale="log", xlabel="training pictures", ylabel="errors in %")
axes.set_xticks(sizes, [f"{count:,}" for count in sizes])
axes.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
axes.minorticks_off()
label_lines(axes)
plt.show()

# %% accuracy_table
rows = {
    f"{count:,}": [
        entry
        for name in names
        for entry in (
            over_seeds([100 * run["accuracy"] for run in found[name, count]]),
            found[name, count][0]["augmentation"],
            f"{found[name, count][0]['rate']:g}",
        )
    ]
    for count in sizes
}
columns = [f"{name}: {part}" for name in names
           for part in ("right in %", "augmentation", "rate")]  # fmt: skip
table(rows, ["pictures", *columns]).show()

# %% accuracy_values values
for (name, count), each in wrong.items():
    print(f"wrong_{name}_{count} = {sum(each) / len(each):.1f}")
    kind, rate = (found[name, count][0][key] for key in ("augmentation", "rate"))
    tried = [
        float(run.rpartition(" ")[2])
        for run in runs
        if run.startswith(f"{name}, {count} pictures, {kind}, in order, rate")
    ]
    assert min(tried) < rate < max(tried)  # the ends lose
print(f"test_error = {100 * (0.03 * 0.97 / len(labels)) ** 0.5:.1f}")


# %% live
own = trained_vit()  # of the 4,000, seed 0; half precision in its file
with torch.no_grad():
    right = (own(images).argmax(-1) == labels).double().mean().item()
assert abs(right - runs["ViT, 4000 pictures, seed 0"]["accuracy"]) < 0.005

# %% longer
rows = {
    f"{name}, {label} steps": [
        f"{100 * run['accuracy']:.1f}",
        f"{run['train_loss']:.3f}",
        f"{run['loss']:.3f}",
    ]
    for name in names
    for label, run in (
        ("800", runs[f"{name}, 4000 pictures, seed 0"]),
        ("3,200", runs[f"{name}, four times the steps, seed 0"]),
    )
}
columns = ["4,000 pictures, seed 0", "right in %", "loss in training", "on the test"]
table(rows, columns).show()

# %% longer_values values
for name in names:
    for key, run in (("once", "4000 pictures"), ("longer", "four times the steps")):
        found_loss = runs[f"{name}, {run}, seed 0"]["train_loss"]
        print(f"loss_{key}_{name} = {found_loss:.2f}")
        errors = 100 - 100 * runs[f"{name}, {run}, seed 0"]["accuracy"]
        print(f"{key}_{name} = {errors:.1f}")

# %% orders
pixels = torch.randperm(784, generator=torch.Generator().manual_seed(0))
order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
folded = torch.nn.functional.unfold(images, 7, stride=7)[:, :, order]
views = torch.stack([
    images,
    torch.nn.functional.fold(folded, 28, 7, stride=7),
    images.flatten(1)[:, pixels].view_as(images),
])[:, [1, 2, 4, 5, 8, 11], 0]  # (order, picture, 28, 28)  # fmt: skip
image_grid(
    0.9 - 0.9 * views, ["in order", "patches shuffled", "pixels shuffled"], size=0.6
)
plt.show()

# %% orders_figure
labels_of = {
    "in order": "1000 pictures",
    "patches shuffled": "patches shuffled",
    "pixels shuffled": "pixels shuffled",
}
shuffled = {
    name: [
        [100 - 100 * run["accuracy"] for run in by_seed(manifest, f"{name}, {variant}")]
        for variant in labels_of.values()
    ]
    for name in names
}
figure, (axes,) = panels(1)
bars(axes, list(labels_of), shuffled, form=".1f")
axes.set(xlabel="errors in %")
plt.show()

# %% orders_values values
for name in names:
    for variant, errors in zip(labels_of, shuffled[name], strict=True):
        print(f"{name}_{variant.replace(' ', '_')} = {sum(errors) / len(errors):.1f}")

# %% choices
rows = {
    label: [over_seeds([100 * run["accuracy"] for run in each]), f"{each[0]['rate']:g}"]
    for label, each in {
        "CLS": found["ViT", 1000],
        "mean of the patches": by_seed(manifest, "ViT, mean"),
        "CLS, first weights of std 0.02": by_seed(manifest, "ViT, small start"),
    }.items()
}
table(rows, ["ViT, 1,000 pictures", "right in %", "best rate"]).show()

# %% choices_values values
for key, variant in (("mean", "ViT, mean"), ("small", "ViT, small start")):
    each = by_seed(manifest, variant)
    print(f"right_{key} = {100 * sum(run['accuracy'] for run in each) / 3:.1f}")
right_cls = 100 - sum(wrong["ViT", 1000]) / 3
print(f"right_cls = {right_cls:.1f}")

# %% rates
curves = {}
for name in ("ViT", "CNN", "ViT, small start"):
    kind = found[name[:3], 1000][0]["augmentation"]
    prefix = f"{name}, 1000 pictures, {kind}, in order, rate "
    tried = {float(run.removeprefix(prefix)): runs[run]["loss"] for run in runs
             if run.startswith(prefix)}  # fmt: skip
    curves[name.replace("ViT, small start", "ViT, std 0.02")] = sorted(tried.items())
figure, (axes,) = panels(1)
for name, curve in curves.items():
    axes.plot(*zip(*curve, strict=True), label=name)
axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss")
axes.set_yticks([0.1, 0.3, 1, 2], ["0.1", "0.3", "1", "2"])
axes.minorticks_off()
label_lines(axes)
plt.show()

# %% rates_values values
print(f"runs = {len(runs)}")
