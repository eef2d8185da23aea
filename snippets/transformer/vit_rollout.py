# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.digits import digit_tensors
from llm_tutorial.plotting import (
    COLOURS,
    INK,
    label_lines,
    panels,
    use_style,
)
from llm_tutorial.transformer.rollout import (
    attention_weights,
    erased,
    patch_map,
    rollout,
    trained_vit,
)
from llm_tutorial.transformer.vit_library import library_vit

use_style()
torch.set_grad_enabled(False)
model = trained_vit()
images, labels = digit_tensors("test")

# %% weights
attention = attention_weights(model, images)  # (layer, picture, head, query, key)
theirs = library_vit(model)
theirs.set_attn_implementation("eager")  # the fused kernels keep no weights
library = theirs(pixel_values=images, output_attentions=True).attentions
assert torch.allclose(attention, torch.stack(library), atol=1e-5)
print(*attention.shape)


# %% rollout
def roll_out(attention):
    itself = torch.eye(attention.shape[-1])  # (token, token)
    shares = itself
    for layer in attention.mean(2):  # over heads: (picture, query, key)
        shares = (layer + itself) / 2 @ shares
    return shares  # (picture, token, token)


shares = roll_out(attention)
assert torch.allclose(shares, rollout(attention), atol=1e-6)
assert torch.allclose(shares.sum(-1), torch.ones(()), atol=1e-5)  # rows are shares
maps = patch_map(shares)  # row of CLS, (picture, 4, 4)
last = patch_map(attention[-1].mean(1))  # the last layer alone

# %% maps
shown = [int((labels == digit).nonzero()[0]) for digit in range(8)]
figure, axes = panels(4, rows=2, height=2.0)
for place, index in zip(axes, shown, strict=True):
    extent = (0, 28, 28, 0)
    place.imshow(images[index, 0], INK, extent=extent, vmin=0, vmax=1, alpha=0.55)
    size = maps[index] / maps[index].max()
    for row in range(4):
        for column in range(4):
            centre = (7 * column + 3.5, 7 * row + 3.5)
            radius = 3.3 * float(size[row, column]) ** 0.5
            dot = plt.Circle(centre, radius, fc=(COLOURS[1], 0.35), ec=COLOURS[1])
            place.add_patch(dot)
    place.set(xticks=[], yticks=[])
    place.grid(visible=False)
plt.show()

# %% erase
scores = {
    "the last layer's": last,
    "rollout's": maps,
    "the darkest": images.unfold(2, 7, 7).unfold(3, 7, 7).mean((1, 4, 5)),
    "at random": torch.rand(3, *maps.shape, generator=torch.manual_seed(0)),
}


def right(images):
    return 100 * (model(images).argmax(-1) == labels).double().mean().item()


counts, curves = range(0, 9, 2), {}
for name, score in scores.items():
    draws = score if name == "at random" else score[None]
    curves[name] = [
        sum(right(erased(images, draw, count, 7)) for draw in draws) / len(draws)
        for count in counts
    ]

# %% erase_figure
figure, (axes,) = panels(1)
for name, curve in curves.items():
    axes.plot(counts, curve, label=name)
axes.set(xlabel="patches erased", ylabel="right in %", ylim=(0, 100))
label_lines(axes)
plt.show()

# %% erase_values values
for name, curve in curves.items():
    key = name.replace("'s", "").replace("the ", "").replace(" ", "_")
    print(f"{key}_4 = {curve[2]:.0f}")  # tolerance 40%
