# %% setup
import torch
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from llm_tutorial.cnn.pooling import BlurPool
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import image_grid, legend, panels, spread, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
generator = torch.manual_seed(0)
torch.set_grad_enabled(False)
photo = torch.tensor(load_sample_image("china.jpg")).float().mean(-1) / 255
photo = F.avg_pool2d(photo[None, None, 26:410, 120:504], 6)  # (1, 1, 64, 64)

# %% equivariant
conv = nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular")
for way in ((1, 0), (0, 5), (-7, 3)):
    moved_before = conv(photo.roll(way, (2, 3)))
    moved_after = conv(photo).roll(way, (2, 3))
    assert moved_before.allclose(moved_after, atol=1e-6)  # f(Tx) = T f(x)

# %% stride
halved = nn.Conv2d(1, 8, 3, stride=2, padding=1, padding_mode="circular")
y = halved(photo)
even, odd = (halved(photo.roll(pixels, 3)) for pixels in (2, 1))
assert even.allclose(y.roll(1, 3), atol=1e-6)  # two pixels: one place
nearest = [((odd - y.roll(pixels, 3)).norm() / y.norm()).item() for pixels in (0, 1)]
assert min(nearest) > 0.1  # one pixel: half a place, and there is none

# %% stripes
stripes = (torch.arange(24) // 2 % 2).float().expand(1, 1, 24, 24)  # period of four
fine = (torch.arange(24) % 2).float().expand(1, 1, 24, 24)
assert fine[..., ::2].unique().numel() == 1  # stripes of one pixel: a constant
blur = BlurPool(1, padding_mode="circular")
views = {
    "input": [stripes, stripes.roll(1, 3)],
    "max pooling": [F.max_pool2d(x, 2) for x in (stripes, stripes.roll(1, 3))],
    "blur pooling": [
        blur(F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, 1))
        for x in (stripes, stripes.roll(1, 3))
    ],
}
change = {name: (one - two).abs().mean() for name, (one, two) in views.items()}
assert change["blur pooling"] <= change["max pooling"] / 2
grid = [
    [F.interpolate(x, (24, 24))[0, 0] for x in column]
    for column in zip(*views.values(), strict=True)
]
figure = image_grid(
    0.1 + 0.75 * torch.stack([torch.stack(row) for row in grid]),
    ["as it stands", "one pixel right"],
    list(views),
    size=1.2,
)

# %% stripes_values values
for name in ("max pooling", "blur pooling"):
    print(f"stripes_{name[:4].strip()} = {change[name]:.2f}")


# %% layers
def circular(kind):  # to half the resolution, on a ring, so that no border disturbs
    if kind == "stride":
        return lambda x: x[..., ::2, ::2]
    if kind == "max":
        return lambda x: F.max_pool2d(x, 2)
    blur = BlurPool(16, padding_mode="circular")
    return lambda x: blur(F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, 1))


def drift(kind, pixels, depth=2):  # of features, relative to their spread
    torch.manual_seed(1)
    x = torch.cat([photo, photo.roll(pixels, 3)])
    for i in range(depth):
        conv = nn.Conv2d(16 if i else 1, 16, 3, padding=1, padding_mode="circular")
        x = circular(kind)(F.relu(conv(x)))
    first, second = x
    best = min(
        (second - first.roll(places, 2)).norm() for places in range(first.shape[-1])
    )
    return (best / (first - first.mean((1, 2), keepdim=True)).norm()).item()


pixels = range(9)
drifts = {kind: [drift(kind, p) for p in pixels] for kind in ("stride", "max", "blur")}
names = {"stride": "every second place", "max": "max pooling", "blur": "blur pooling"}
figure, (axes,) = panels()
for kind, values in drifts.items():
    axes.plot(pixels, values, label=names[kind])
axes.set(xlabel="shift in pixels", ylabel="change of features")
legend(axes, ncols=3)
for values in drifts.values():
    assert max(values[0], values[4], values[8]) < 1e-5  # two halvings: steps of four

# %% layers_values values tolerance="20%"
for kind, values in drifts.items():
    print(f"drift_{kind} = {100 * max(values):.0f}")

# %% border
ones = torch.ones(1, 1, 12, 12)
zero_padded = nn.Conv2d(1, 1, 3, padding=1, bias=False)
zero_padded.weight.fill_(1 / 9)
y = zero_padded(ones)[0, 0]
assert y[1:-1, 1:-1].allclose(torch.ones(10, 10)) and y[0].max() < 0.7
print("a constant picture, first row:", [round(v, 2) for v in y[0, :4].tolist()])

# %% digits_table
manifest = results("cnn", "shifts")
rows = {}
for trained in ("as they stand", "shifted"):
    for way, name in names.items():
        found = by_seed(manifest, f"{way}, {trained}")
        rows[f"{name}; {trained}"] = [
            f"{found[0]['rate']:g}",
            over_seeds([100 * each["accuracy"] for each in found]),
            *(
                over_seeds([100 * each["agreement"][p - 1] for each in found])
                for p in (1, 2, 4)
            ),
        ]
shifts = [f"same, {p} px" for p in (1, 2, 4)]
table(rows, ["", "rate", "right, %", *(f"{s}, %" for s in shifts)]).show()

# %% digits_figure
figure, axes = panels(2, sharey=True)
for panel, trained in zip(axes, ("as they stand", "shifted"), strict=True):
    for way, name in names.items():
        runs = [
            [100, *(100 * a for a in each["agreement"])]
            for each in by_seed(manifest, f"{way}, {trained}")
        ]
        spread(panel, range(5), runs, name)
    panel.set(title=f"trained: {trained}", xlabel="shift in pixels")
    panel.set_ylabel("same answer, %")
legend(figure)

# %% digits_values values
for trained, short in (("as they stand", "still"), ("shifted", "moved")):
    for way in names:
        found = by_seed(manifest, f"{way}, {trained}")
        for metric, value in (
            ("right", lambda each: each["accuracy"]),
            ("same_1", lambda each: each["agreement"][0]),
            ("same_4", lambda each: each["agreement"][3]),
        ):
            values = [100 * value(each) for each in found]
            print(f"{metric}_{way}_{short} = {sum(values) / len(values):.1f}")
            print(f"{metric}_{way}_{short}_lowest = {min(values):.1f}")
            print(f"{metric}_{way}_{short}_highest = {max(values):.1f}")
