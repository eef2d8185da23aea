# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.colour import colour_difference
from llm_tutorial.data.shapes import COLOURS, Scene, caption, draw, obeys, scenes
from llm_tutorial.diffusion.control import controlled, latent_mask, noise_for
from llm_tutorial.diffusion.pipeline import load_pipeline
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import weights
from llm_tutorial.tables import table

use_style()
torch.set_grad_enabled(False)
pipe = load_pipeline(weights("diffusion", "shapes"))


def drawings(some):  # (scenes, 3, 32, 32), from -1 to 1
    images = np.stack([draw(scene, seed=n) for n, scene in enumerate(some)])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1


def share(images, some):
    pixels = (255 * images).round().byte().permute(0, 2, 3, 1).numpy()
    right = [all(obeys(*each).values()) for each in zip(pixels, some, strict=True)]
    return 100 * np.mean(right)


def recoloured(scene, which):
    things = list(scene.things)
    names = list(COLOURS)
    colour = names[(names.index(things[which].colour) + 3) % len(names)]
    things[which] = things[which]._replace(colour=colour)
    return Scene(tuple(things), scene.relation)


# %% strength
first = scenes(6, "validation", seed=21, things=1)
then = [recoloured(scene, 0) for scene in first]
prompts = [caption(Scene((thing._replace(place=None),))) for [thing], _ in then]
pictures, noise = drawings(first), noise_for(pipe, 6)
shares = (0.2, 0.4, 0.6, 0.8, 1.0)
rows = [pictures / 2 + 0.5] + [
    controlled(pipe, prompts, noise, picture=pictures, strength=strength)
    for strength in shares
]
labels = ["picture", *(f"strength {strength}" for strength in shares)]
image_grid(torch.stack(rows).movedim(2, -1), labels, size=0.5)
plt.show()

# %% masks
both = scenes(24, "validation", seed=22, things=2)
wanted = [recoloured(scene, 1) for scene in both]
texts = [caption(scene, ("en", "zh")[n % 2]) for n, scene in enumerate(wanted)]
pictures, noise = drawings(both), noise_for(pipe, 24)
alone = drawings([Scene((scene.things[0],)) for scene in both])  # to find the pixels


def tight(scene, n):
    """The pixels in which the drawings of two colours of the second thing differ."""
    old, new = (
        draw(each, seed=n).astype(int) for each in (scene, recoloured(scene, 1))
    )
    return torch.from_numpy((abs(old - new).max(2) > 0).astype(np.float32))[None]


pixels = torch.stack(
    [tight(scene, n) for n, scene in enumerate(both)]
)  # (24, 1, 32, 32)
around = torch.nn.functional.max_pool2d(pixels, 5, stride=1, padding=2)
masks = {
    "cell by its middle": latent_mask(pixels, 8, whole=False),
    "any pixel of a cell": latent_mask(pixels, 8),
    "two pixels around": latent_mask(around, 8),
}
rows, shown = {}, [pictures / 2 + 0.5]
for name, mask in masks.items():
    images = controlled(pipe, texts, noise, picture=pictures, mask=mask)
    outside = 1 - torch.nn.functional.interpolate(mask, 32)[:, 0]
    away = colour_difference(2 * images - 1, pictures)
    changed = ((away * outside).sum((1, 2)) / outside.sum((1, 2))).mean().item()
    pasted = torch.where(outside[:, None] > 0, pictures / 2 + 0.5, images)
    rows[name] = [
        mask.mean().item() * 64, share(images, wanted), share(pasted, wanted), changed
    ]  # fmt: skip
    shown.append(images)
columns = ["mask", "cells", "% right", "% right, pasted", "ΔE76 outside"]
table(rows, columns, [".0f", ".0f", ".0f", ".1f"]).show()

# %% inpainting
image_grid(torch.stack(shown)[:, :8].movedim(2, -1), ["picture", *masks], size=0.45)
plt.show()

# %% bad_input
for handles in (
    {"strength": 0.05, "picture": pictures[:1]},
    {"mask": masks["two pixels around"][:1]},
    {"mask": pixels[:1], "picture": pictures[:1]},
    {"negative": ["a star", "a ring"]},
):
    try:
        controlled(pipe, texts[:1], noise[:1], **handles)
    except ValueError as error:
        print(error)
