# %% setup
import math
from collections import OrderedDict

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import nn

from llm_tutorial.cnn.efficientnet import (
    SamePad,
    class_names,
    cropped,
    load_efficientnet,
    prepared,
    published_weights,
)
from llm_tutorial.cnn.filters import feature_maps, kernel_pictures
from llm_tutorial.cnn.geometry import inspect
from llm_tutorial.data.photographs import photograph
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, bars, image_grid, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
torch.set_grad_enabled(False)
use_style()

# %% inverted
diagram = Diagram(width=24, height=15.5)
BLUE, ORANGE, GREEN = COLOURS[:3]
top = diagram.box(9, 14, "40 channels", 6, colour=BLUE)
expand = diagram.box(9, 11, ["1 × 1 convolution", "to 240 channels"], 14, colour=ORANGE)
depth = diagram.box(9, 7.6, ["5 × 5 depthwise", "240 channels"], 14, colour=GREEN)
project = diagram.box(9, 4.2, ["1 × 1 convolution", "to 40 channels"], 8, colour=ORANGE)
bottom = diagram.box(9, 1, "40 channels", 6, colour=BLUE)
for start, end in ((top, expand), (expand, depth), (depth, project), (project, bottom)):
    diagram.arrow(start, end)
diagram.text(16.4, 9.3, "norm, ReLU6", ha="left", fontsize=9)
diagram.text(16.4, 5.9, "norm, ReLU6", ha="left", fontsize=9)
diagram.text(16.4, 2.7, "norm only", ha="left", fontsize=9)
diagram.arrow(top, bottom, via=[(22.5, 14), (22.5, 1)], color=BLUE)
diagram.text(19.9, 13.2, "shortcut", fontsize=9)
plt.show()


# %% blocks
def conv(channels, outputs, kernel=1, stride=1, groups=1, active=True):
    layers = {"pad": SamePad(kernel, stride)} if kernel > 1 else {}
    layers["conv"] = nn.Conv2d(
        channels, outputs, kernel, stride, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(outputs, eps=1e-3)
    if active:
        layers["act"] = nn.ReLU6()  # min(max(x, 0), 6)
    return nn.Sequential(OrderedDict(layers))


class InvertedResidual(nn.Module):
    def __init__(self, channels, outputs, expand, kernel, stride):
        super().__init__()
        wide = expand * channels
        self.expand = conv(channels, wide) if expand > 1 else nn.Identity()
        self.depthwise = conv(wide, wide, kernel, stride, groups=wide)
        self.project = conv(wide, outputs, active=False)
        self.residual = stride == 1 and channels == outputs

    def forward(self, x):  # (batch, channels, height, width)
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


STAGES = [  # expand, channels, blocks, stride of the first, kernel
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
]  # fmt: skip
blocks, channels = [], 32
for expand, outputs, repeats, stride, kernel in STAGES:
    for repeat in range(repeats):
        step = 1 if repeat else stride
        blocks.append(InvertedResidual(channels, outputs, expand, kernel, step))
        channels = outputs
network = nn.Sequential(OrderedDict({
    "stem": conv(3, 32, 3, stride=2),
    "blocks": nn.Sequential(*blocks),
    "head": conv(320, 1280),
    "pool": nn.AdaptiveAvgPool2d(1),
    "flatten": nn.Flatten(),
    "classifier": nn.Linear(1280, 1000),
})).eval()  # fmt: skip

# %% loaded
print(network.load_state_dict(published_weights()))  # strict: every key has its place
library = load_efficientnet()
photo = prepared(photograph("cat"))  # (1, 3, 224, 224), (x - 127) / 128
assert network(photo).allclose(library(photo), atol=1e-4)

# %% answers
NAMES = ("temple", "flower", "cat", "coffee", "motorcycle", "rocket", "astronaut")
names = class_names()
photos = torch.cat([prepared(photograph(name)) for name in NAMES])
shares = network(photos).softmax(-1)  # (7, 1000)
rows = {}
for name, share in zip(NAMES, shares, strict=True):
    best = share.topk(3)
    rows[name] = [
        entry
        for value, index in zip(*best, strict=True)
        for entry in (names[index], 100 * value.item())
    ]
columns = ["photograph", "first", "%", "second", "%", "third", "%"]
table(rows, columns, ["", ".0f"] * 3).show()

# %% pictures
small = np.stack([cropped(photograph(name), 56) for name in NAMES])[None]
figure = image_grid(small // 16 * 16, [], NAMES, size=0.9)

# %% parts
found = inspect(network, photo)
KINDS = {"stem": "stem", "expand": "1 × 1, expanding", "depthwise": "depthwise",
         "project": "1 × 1, projecting", "head": "1 × 1, head",
         "classifier": "classifier"}  # fmt: skip
spent = {kind: [0, 0] for kind in KINDS.values()}
for layer in found.layers:
    for part, kind in KINDS.items():
        if part in layer.name.split("."):
            spent[kind][0] += layer.parameters
            spent[kind][1] += layer.multiplications
parameters, products = map(sum, zip(*spent.values(), strict=True))
assert parameters == sum(p.numel() for p in network.parameters())
figure, (axes,) = panels()
series = {
    "parameters": [100 * p / parameters for p, _ in spent.values()],
    "multiplications": [100 * m / products for _, m in spent.values()],
}
bars(axes, list(spent), series, form=".1f")
axes.set_xlabel("share in %")
plt.show()

# %% stages
rows, at = {}, 0
for _, outputs, repeats, stride, kernel in STAGES:
    inside = [
        layer
        for layer in found.layers
        if layer.name.startswith(tuple(f"blocks.{at + i}." for i in range(repeats)))
    ]
    at += repeats
    rows[f"to {outputs}: {repeats} of {kernel} × {kernel}, stride {stride}"] = [
        " × ".join(map(str, inside[-1].receptive_field)),
        " × ".join(map(str, inside[-1].output)),
        sum(layer.parameters for layer in inside),
        sum(layer.multiplications for layer in inside),
    ]
rows["all, with stem, head and classifier"] = ["", "", parameters, products]
columns = ["blocks", "field", "output", "parameters", "multiplications"]
table(rows, columns, ["", "", ",", ","]).show()

# %% full
block = network.blocks[13]  # 192 channels, 1,152 in the middle, at 7 × 7
middle = block.depthwise.conv
full = nn.Conv2d(1152, 1152, 5, bias=False)  # in place of the depthwise one
print(f"depthwise: {middle.weight.numel():>12,} weights")
print(f"full:      {full.weight.numel():>12,} weights")

# %% parts_values values
print(f"parameters = {parameters}")
print(f"products = {products}")
for kind, part in (("depthwise", "depthwise"), ("classifier", "classifier")):
    print(f"{part}_parameters = {100 * spent[kind][0] / parameters:.1f}")
    print(f"{part}_products = {100 * spent[kind][1] / products:.1f}")
one = [spent[k] for k in spent if k.startswith("1 × 1")]
print(f"one_parameters = {100 * sum(p for p, _ in one) / parameters:.0f}")
print(f"one_products = {100 * sum(m for _, m in one) / products:.0f}")
print(f"head_parameters = {100 * spent['1 × 1, head'][0] / parameters:.1f}")
early = [each for each in found.layers if max(each.output[1:], default=0) >= 56]
early_products = sum(each.multiplications for each in early)
print(f"early_products = {100 * early_products / products:.0f}")
print(f"early_parameters = {100 * sum(e.parameters for e in early) / parameters:.1f}")
outputs = sum(math.prod(each.output) for each in found.layers)
print(f"output_megabytes = {4 * outputs / 1e6:.0f}")
print(f"weight_megabytes = {16 * parameters / 1e6:.0f}")
print(f"full_over_depthwise = {full.weight.numel() / middle.weight.numel():.0f}")

# %% filters
kernels = kernel_pictures(network.stem.conv)  # (32, 3, 3, 3)
large = kernels.repeat_interleave(8, 1).repeat_interleave(8, 2)
figure = image_grid(large.unflatten(0, (4, 8)), size=0.5)
figure.axes[0].set_xlabel("kernels of the first layer")
plt.show()

# %% maps
LAYERS = {"stem": "stem", "block 3": "blocks.2", "block 5": "blocks.4",
          "block 11": "blocks.10", "head": "head"}  # fmt: skip
maps = feature_maps(network, photo, list(LAYERS.values()))
grid = torch.empty(3, len(LAYERS), 56, 56)
for column, layer in enumerate(LAYERS.values()):
    each = maps[layer][0]  # (maps, rows, columns)
    livelier = each.flatten(1).std(-1).topk(3).indices
    for row, index in enumerate(livelier):
        one = each[index]
        one = (one - one.min()) / (one.max() - one.min())
        grid[row, column] = nn.functional.interpolate(one[None, None], (56, 56))[0, 0]
figure = image_grid((grid * 15).round() / 15, [], list(LAYERS))

# %% forgotten
network.train()
alone = network(photo).softmax(-1)[0]  # a batch of one: its own means
together = network(photos).softmax(-1).argmax(-1)  # a batch of seven
network.load_state_dict(published_weights())  # both passes moved the stored means
network.eval()
right = network(photo).softmax(-1)[0]
print("train(), alone:", names[alone.argmax()], f"{100 * alone.max():.1f} %")
print("train(), seven together:", [names[index] for index in together])
print("eval():", names[right.argmax()], f"{100 * right.max():.1f} %")
assert alone.argmax() != right.argmax()

# %% scaled
wrong = {
    "as trained": photos,
    "from 0 to 1": (128 * photos + 127) / 255,
    "from 0 to 255": 128 * photos + 127,
    "blue, green, red": photos.flip(1),
}
first = shares.argmax(-1)
rows = {}
for name, x in wrong.items():
    share = network(x).softmax(-1)
    same = (share.argmax(-1) == first).sum().item()
    kept = share.gather(1, first[:, None]).mean().item()
    rows[name] = [f"{same} of {len(first)}", 100 * kept]
columns = ["input", "same first answer", "mean share of that answer, %"]
table(rows, columns, ["", ".0f"]).show()

# %% grey
cat = photograph("cat")
for picture in (cat[..., 0], cat / 255):
    try:
        prepared(picture)
    except ValueError as error:
        print(error)
cured = Image.fromarray(cat[..., 0]).convert("RGB"), (255 * (cat / 255)).astype("uint8")
print([names[network(prepared(picture)).argmax()] for picture in cured])
