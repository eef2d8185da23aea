"""Does the decoder draw what was asked for? Nothing is trained here, only measured.

Guidance and temperature are swept on the validation combinations; the best pair by the
rank of the right name is then drawn three times (three seeds of the sampling) for
held-out and for seen combinations, beside controls, which are drawn once. A few
minutes of one core.
"""

# %% settings
from pathlib import Path

import torch

from llm_tutorial.adherence import (
    Names,
    nearest_colours,
    nearest_pictures,
    real_pictures,
    skin_tones,
)
from llm_tutorial.colour import to_lab
from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.text_image import candidates, in_tones, load_checker
from llm_tutorial.transformer.drawing import draw, load_artist
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

SCALES, TEMPERATURES, SEEDS = (1.0, 2.0, 4.0, 8.0), (0.3, 0.6, 1.0), range(3)
LOT = 64

torch.set_num_threads(1)
long_run = LongRun("drawing_adherence", Path(__file__))
vq, checker, (artist, tokenizer) = load_image_tokenizer(), load_checker(), load_artist()
split = {
    name: openmoji(name, "combination") for name in ("train", "validation", "test")
}
long_run.data = {name: data_digest(split[name]) for name in split}
names = Names(split["train"])
train_pictures = real_pictures(split["train"])
train_decoded = vq.decode(vq.encode(train_pictures))
combined = [picture for picture in split["train"] if picture.parts]
whole = {
    "validation": split["validation"][::2],
    "held out": split["test"],
    "seen": combined[:: len(combined) // 120],
    "others": [picture for picture in split["train"] if not picture.parts][::12],
}
chosen = {part: long_run.few(pictures, 8) for part, pictures in whole.items()}
hearts = [picture for picture in openmoji() if picture.base == "heart"]
heart_pictures = real_pictures(hearts)


# %% draw and judge
def drawn(prompts, scale, temperature, seed=0):
    lots = [prompts[i : i + LOT] for i in range(0, len(prompts), LOT)]
    codes = [
        draw(artist, tokenizer, lot, scale, temperature, seed=1000 * seed + number)
        for number, lot in enumerate(lots)
    ]
    return vq.decode(torch.cat(codes))


def judged(images, pictures):
    """Rank of the name, tone by the checker and by colour, nearest training picture."""
    ranks = checker.ranks(
        images, [[prompt(p) for p in candidates(p)] for p in pictures]
    )
    one = [i for i, picture in enumerate(pictures) if len(picture.tones) == 1]
    found = {
        "first of 100": float((ranks == 1).double().mean()),
        "among first 5": float((ranks <= 5).double().mean()),
    }
    if one:
        tones = checker.ranks(images[one], [in_tones(pictures[i]) for i in one])
        seen = skin_tones(images[one])
        right = [
            tone == pictures[i].tones[0] for tone, i in zip(seen, one, strict=True)
        ]
        found |= {
            "tone, checker": float((tones == 1).double().mean()),
            "tone, colour": sum(right) / len(right),
        }
    return found


def compared(images, pictures):
    """How near a drawing is to what was asked for, and to the nearest in training."""
    aims = vq.decode(vq.encode(real_pictures(pictures)))
    to_aim = (to_lab(images) - to_lab(aims)).square().sum(1).mean((1, 2)).sqrt()
    distance, _ = nearest_pictures(images, train_decoded)
    return {
        "distance to training": float(distance.mean()),
        "distance to target": float(to_aim.mean()),
        "same as a training picture": float((distance < 1).double().mean()),
        "target is nearer": float((to_aim < distance).double().mean()),
    }


# %% guidance and temperature, on validation
def sweep(scale, temperature):
    pictures = chosen["validation"]
    images = drawn([prompt(picture) for picture in pictures], scale, temperature)
    return judged(images, pictures)


swept = {}
for temperature in TEMPERATURES:
    for scale in SCALES:
        name = f"guidance {scale:g}, temperature {temperature:g}"
        swept[scale, temperature] = long_run.measure(
            name, lambda pair=(scale, temperature): sweep(*pair)
        )
best = max(swept, key=lambda pair: swept[pair]["first of 100"])


# %% the best pair, and controls
def control(kind, pictures, seed):
    prompts = [prompt(picture) for picture in pictures]
    if kind == "drawn, English":
        return drawn(prompts, *best, seed)
    if kind == "drawn, Chinese":
        return drawn([prompt(picture, "zh") for picture in pictures], *best, seed)
    if kind == "drawn, no guidance":
        return drawn(prompts, 1.0, best[1], seed)
    if kind == "no prompt":
        return drawn([""] * len(pictures), 1.0, best[1], seed)
    if kind == "another prompt":
        order = torch.randperm(
            len(pictures), generator=torch.Generator().manual_seed(seed)
        )
        return drawn([prompts[i] for i in order], *best, seed)
    real = real_pictures(pictures)
    if kind == "real":
        return real
    if kind == "real, as tokens":
        return vq.decode(vq.encode(real))
    found = [names.nearest(picture) for picture in pictures]
    return train_decoded[found]  # the nearest name


def measure(part, kind, seed):
    images = control(kind, chosen[part], seed)
    return judged(images, chosen[part]) | compared(images, chosen[part])


for part in ("held out", "seen", "others"):
    for kind in (
        "drawn, English", "drawn, Chinese", "drawn, no guidance", "another prompt",
        "no prompt", "real", "real, as tokens", "nearest name",
    ):  # fmt: skip
        for seed in SEEDS if kind == "drawn, English" else (0,):
            long_run.measure(
                f"{part}: {kind}, seed {seed}",
                lambda part=part, kind=kind, seed=seed: measure(part, kind, seed),
            )


# %% hearts by colour
def coloured(seed):
    """Sixteen drawings of each heart: the share nearest in colour to the right one."""
    rights = {}
    for number, heart in enumerate(hearts):
        images = drawn([prompt(heart)] * 16, *best, seed)
        same = nearest_colours(images, heart_pictures) == number
        rights[heart.english] = float(same.double().mean())
    return {"right": rights}


held = {picture.english for picture in split["test"] + split["validation"]}
for seed in SEEDS:
    long_run.measure(f"hearts, seed {seed}", lambda seed=seed: coloured(seed))
long_run.finish(
    seeds=list(SEEDS), steps=0, best=list(best),
    counts={part: len(pictures) for part, pictures in whole.items()},
    toned={
        part: sum(len(picture.tones) == 1 for picture in pictures)
        for part, pictures in whole.items()
    },
    hearts_held_out=[heart.english for heart in hearts if heart.english in held],
)  # fmt: skip
