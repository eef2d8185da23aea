# %% setup
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.filters import kernel_pictures, strongest
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.cnn.resnet import initialise, lenet, small_resnet
from llm_tutorial.cnn.trained import trained_resnet
from llm_tutorial.diagrams import Diagram
from llm_tutorial.digits import digit_tensors, warped
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    COLOURS,
    image_grid,
    label_lines,
    legend,
    panels,
    spread,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.training import adamw, linear_decay

use_style()
manifest = results("cnn", "vision")
images, labels = digit_tensors("train")  # (4000, 1, 28, 28), from 0 to 1
test_images, test_labels = digit_tensors("test")  # 600

# %% picture
diagram = Diagram(width=24, height=13)
BLUE, ORANGE, GREEN = COLOURS[:3]
for x, name, shortcut in ((5.2, "plain", False), (16.8, "residual", True)):
    top = diagram.text(x, 12.2, name)
    start = diagram.box(x, 10.4, "x", 3, colour=BLUE)
    first = diagram.box(x, 7.9, ["3 × 3, norm, ReLU"], 8.6, colour=ORANGE)
    second = diagram.box(x, 5.4, ["3 × 3, norm"], 8.6, colour=ORANGE)
    end = diagram.box(
        x, 2.6, "ReLU( x + f(x) )" if shortcut else "ReLU( f(x) )", 8.6, colour=GREEN
    )
    for one, other in ((start, first), (first, second), (second, end)):
        diagram.arrow(one, other)
    if shortcut:
        diagram.arrow(start, end, via=[(x + 6.2, 10.4), (x + 6.2, 2.6)], color=BLUE)
plt.show()

# %% lenet
inspect(lenet(), images[:1], cue=20).show()


# %% block
class Block(nn.Module):
    def __init__(self, channels, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - channels

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.stride > 1:  # the shortcut has no weights
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        x = F.pad(x, (0, 0, 0, 0, 0, self.more))  # new channels: zeros
        return F.relu(x + y)


network = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
)  # fmt: skip
torch.manual_seed(0)
library = small_resnet()
network.load_state_dict(library.state_dict())
few = images[:8]
assert network.train()(few).allclose(library.train()(few), atol=1e-5)


# %% loop
def train(model, rate, steps=600, stop=600, batch=64, seed=0):
    optimizer, losses = adamw(model, rate), []
    schedule = linear_decay(optimizer, steps, warmup=20)
    for step in range(stop):
        torch.manual_seed(1_000_003 * seed + step)  # each step is the same when resumed
        chosen = torch.randint(len(images), (batch,))
        x = warped(images[chosen], "affine")  # shifted, turned, slanted, scaled
        loss = F.cross_entropy(model(x), labels[chosen])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
losses = train(small_resnet(), 0.03, stop=4)  # the best rate of five
recorded = manifest["losses"]["ResNet, seed 0"][:4]
assert all(abs(a / b - 1) < 0.02 for a, b in zip(losses, recorded, strict=True))

# %% digits
rows = {}
for name, model, steps in (
    ("LeNet", lenet(), 600),
    ("LeNet, longer", lenet(), 3000),
    ("ResNet", small_resnet(), 600),
):
    found, runs = inspect(model, images[:1]).layers, by_seed(manifest, name)
    rows[name] = [
        f"{sum(layer.parameters for layer in found):,}",
        f"{sum(layer.multiplications for layer in found):,}",
        f"{steps:,}",
        f"{runs[0]['rate']:g}",
        over_seeds([100 * run["accuracy"] for run in runs], ".2f"),
        over_seeds([run["loss"] for run in runs], ".3f"),
    ]
columns = [
    "", "parameters", "multiplications", "steps", "rate", "right, %", "test loss",
]  # fmt: skip
table(rows, columns).show()

# %% live
trained = trained_resnet("resnet")  # seed 0, 16 bits on disk
with torch.no_grad():
    right = (trained(test_images).argmax(-1) == test_labels).double().mean().item()
assert abs(right - by_seed(manifest, "ResNet")[0]["accuracy"]) < 0.004

# %% digits_values values
for name, short in (
    ("LeNet", "LeNet"), ("LeNet, longer", "longer"), ("ResNet", "ResNet"),
):  # fmt: skip
    found = [100 * run["accuracy"] for run in by_seed(manifest, name)]
    print(f"right_{short} = {sum(found) / len(found):.1f}")
print(f"runs = {len(manifest['metrics'])}")
counted = [int(row[1].replace(",", "")) for row in rows.values()]
print(f"more_products = {counted[-1] / counted[0]:.0f}")


# %% signal
def sizes(start, biases=False, depth=24, channels=32):  # root mean square of each layer
    torch.manual_seed(0)
    x, found = torch.randn(16, channels, 14, 14), []
    for _ in range(depth):  # circular: no border of zeros
        layer = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")
        initialise(layer, start)
        if not biases:
            nn.init.zeros_(layer.bias)
        x = layer(x).relu()
        found.append(x.square().mean().sqrt().item())
    return found


with torch.no_grad():
    measured = {
        "Kaiming, 2 / n": sizes("kaiming"),
        "default, with its biases": sizes("default", biases=True),
        "default, 1 / (3 n)": sizes("default"),
        "0.01": sizes("small"),
    }
figure, (axes,) = panels()
for name, values in measured.items():
    axes.plot(range(1, 25), values, label=name, marker="")
axes.set(yscale="log", xlabel="layer", ylabel="size of the signal")
label_lines(axes)
weights = measured["default, 1 / (3 n)"]
factor = (weights[-1] / weights[0]) ** (1 / 23)
assert abs(factor / (1 / 6) ** 0.5 - 1) < 0.15  # each layer: the root of 1/6
assert 0.2 < measured["Kaiming, 2 / n"][-1] / measured["Kaiming, 2 / n"][0] < 5

# %% signal_values values
print(f"default_factor = {factor:.2f}")  # tolerance 10%
small = measured["0.01"]
print(f"floor = {measured['default, with its biases'][-1]:.3f}")  # tolerance 20%
print(f"small_factor = {(small[-1] / small[0]) ** (1 / 23):.2f}")  # tolerance 10%


# %% gradients
def gradients(residual, seed):  # size of the gradient after each of 15 blocks
    torch.manual_seed(seed)
    model = small_resnet((8, 16, 32), blocks=5, residual=residual, stride=2)
    x, kept = images[:256], []
    for index, layer in enumerate(model):
        x = layer(x)
        if 3 <= index < 18:
            x.retain_grad()
            kept.append(x)
    F.cross_entropy(x, labels[:256]).backward()
    found = [x.grad.norm().item() for x in kept]
    return [size / found[-1] for size in found]


grown = {way: [gradients(way, seed) for seed in range(3)] for way in (True, False)}
figure, (axes,) = panels()
for way, name in ((True, "with shortcuts"), (False, "without shortcuts")):
    spread(axes, range(1, 16), grown[way], name)
axes.set(yscale="log", xlabel="block", ylabel="size of the gradient")
legend(axes, ncols=2)
assert min(run[0] for run in grown[False]) > 2 * max(run[0] for run in grown[True])

# %% gradients_values values
for way, name in ((True, "with"), (False, "without")):
    first = [run[0] for run in grown[way]]
    print(f"grown_{name} = {sum(first) / 3:.0f}")  # tolerance 20%

# %% parts
PARTS = {
    "all parts": "all parts",
    "group norm": "group norm in place of batch norm",
    "no norm": "no norm",
    "no augmentation": "no augmentation",
    "shifts only": "shifts only",
    "default start": "PyTorch's default start",
    "small start": "start with 0.01",
    "no norm, default start": "no norm, default start",
    "no norm, small start": "no norm, start with 0.01",
    "no shortcuts": "no shortcuts",
    "deep": "31 convolutions",
    "deep, no shortcuts": "31 convolutions, no shortcuts",
}
errors = {
    part: [100 * (1 - run["accuracy"]) for run in by_seed(manifest, part)]
    for part in PARTS
}
rows = {
    name: [
        f"{by_seed(manifest, part)[0]['rate']:g}",
        over_seeds(errors[part]),
        over_seeds([run["loss"] for run in by_seed(manifest, part)], ".2f"),
        over_seeds([run["curve"][-1] for run in by_seed(manifest, part)], ".2f"),
    ]
    for part, name in PARTS.items()
}
columns = ["", "rate", "wrong, %", "test loss", "training loss, last 50 steps"]
table(rows, columns).show()
starts = [errors[p] for p in ("all parts", "default start", "small start")]
assert max(map(min, starts)) < min(map(max, starts))  # level: all three overlap
assert max(errors["deep"]) < min(errors["deep, no shortcuts"])

# %% parts_values values
for part in PARTS:
    name = part.replace(", ", "_").replace(" ", "_")
    mean = sum(errors[part]) / len(errors[part])
    print(f"wrong_{name} = {mean:.1f}")

# %% kernels
kernels = kernel_pictures(trained[0])  # (16, 3, 3, 3)
large = kernels.repeat_interleave(8, 1).repeat_interleave(8, 2)
figure = image_grid(large.unflatten(0, (2, 8)), size=0.5)
figure.axes[0].set_xlabel("kernels of the first layer")
plt.show()

# %% strongest
LAYER, SIDE, CHOSEN = "4", 13, (0, 5, 9, 20)  # a place sees 13 × 13 pixels
found = {c: strongest(trained, test_images, LAYER, c, SIDE, 7) for c in range(32)}
kinds = [test_labels[pictures].unique().numel() for _, pictures in found.values()]
grid = torch.stack([found[c][0] for c in CHOSEN])[:, :, 0]  # (4, 7, 13, 13)
figure = image_grid(1 - grid, [f"filter {c}" for c in CHOSEN], size=0.6)

# %% strongest_values values
print(f"fewest_kinds = {min(kinds)}")  # tolerance 60%
print(f"one_kind = {kinds.count(1)}")  # tolerance 90%
print(f"chosen_fewest = {min(kinds[c] for c in CHOSEN)}")  # tolerance 60%
