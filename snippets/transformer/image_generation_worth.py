# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.adherence import (
    Names,
    nearest_pictures,
    real_pictures,
    skin_tones,
)
from llm_tutorial.data.openmoji import TONES, openmoji, prompt
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import (
    image_grid,
    label_lines,
    panels,
    use_style,
    verbatim,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.text_image import candidates, in_tones, load_checker
from llm_tutorial.transformer.drawing import draw, load_artist
from llm_tutorial.transformer.image_tokens import load_image_tokenizer

use_style()
torch.set_grad_enabled(False)
checked = results("transformer", "drawing_adherence")
tower = results("transformer", "text_image")["metrics"]["checker"]
decoder = results("transformer", "drawing")["metrics"]
scale, heat = checked["best"]
PARTS = {"held out": "held-out combinations", "seen": "seen combinations"}


def pixels(images):
    """From 0 to 1, channels last; 9 levels of each colour are light to load."""
    return ((images + 1) * 4).round().div(8).movedim(-3, -1).numpy()


# %% checker
checker = load_checker()
toned = [p for p in openmoji("test", "combination") if len(p.tones) == 1]
real = real_pictures(toned)
names = [[prompt(each) for each in candidates(picture)] for picture in toned[:40]]
first = (checker.ranks(real[:40], names) == 1).double().mean().item()
tones = (checker.ranks(real, [in_tones(p) for p in toned]) == 1).double().mean().item()
colours = [seen == p.tones[0] for seen, p in zip(skin_tones(real), toned, strict=True)]
by_colour = sum(colours) / len(colours)
print(f"right name of 100: {first:.2f}; tone: {tones:.2f}, by colour {by_colour:.2f}")

# %% checker_values values
for language, found in tower["test"].items():
    print(f"first_{language} = {100 * found['first of 100']:.0f}")
    print(f"five_{language} = {100 * found['among first 5']:.0f}")
    print(f"tone_{language} = {100 * found['right tone of 5']:.0f}")
print(f"by_colour = {100 * by_colour:.0f}")
counts, toned_counts = checked["counts"], checked["toned"]
for part in ("held out", "seen", "others"):
    key = part.replace(" ", "_")
    print(f"count_{key} = {counts[part]}")
print(f"toned_held_out = {toned_counts['held out']}")
print(f"standard_error = {100 * (0.25 / counts['held out']) ** 0.5:.0f}")

# %% sweep
scales = sorted({float(k.split()[1][:-1]) for k in checked["metrics"] if k[0] == "g"})
heats = sorted({float(k.split()[3]) for k in checked["metrics"] if k[0] == "g"})
figure, axes = panels(2, sharey=True)
for panel, key, name in zip(
    axes, ("first of 100", "tone, colour"), ("right name", "right tone"), strict=True
):
    for temperature in heats:
        each = [
            100
            * checked["metrics"][f"guidance {s:g}, temperature {temperature:g}"][key]
            for s in scales
        ]
        panel.plot(scales, each, label=f"T = {temperature:g}")
    panel.set(xscale="log", xlabel="guidance scale s", title=name)
    panel.set_xticks(scales, [f"{s:g}" for s in scales])
    panel.minorticks_off()
axes[0].set(ylabel="in %")
axes[1].set(ylabel="in %")
for panel in axes:
    label_lines(panel)
plt.show()

# %% sweep_values values
print(f"best_scale = {scale:g}")
print(f"best_temperature = {heat:g}")
for s in scales:
    for temperature in heats:
        found = checked["metrics"][f"guidance {s:g}, temperature {temperature:g}"]
        key = f"{s:g}_{temperature:g}".replace(".", "")
        print(f"first_at_{key} = {100 * found['first of 100']:.0f}")
        print(f"tone_at_{key} = {100 * found['tone, colour']:.0f}")

# %% adherence
KINDS = {
    "real": "real", "real, as tokens": "real, as tokens", "drawn, English": "drawn",
    "drawn, Chinese": "drawn from Chinese", "drawn, no guidance": "drawn, no guidance",
    "nearest name": "nearest training name", "another prompt": "drawn for another name",
    "no prompt": "drawn without a name",
}  # fmt: skip
MEASURES = {
    "first of 100": "right name of 100", "tone, checker": "right tone of 5, checker",
    "tone, colour": "by colour",
}  # fmt: skip


def measured(part, kind, key):
    runs = checked["metrics"]
    each = [runs[f"{part}: {kind}, seed {seed}"] for seed in checked["seeds"]
            if f"{part}: {kind}, seed {seed}" in runs]  # fmt: skip
    return [100 * run[key] for run in each]


for part, title in PARTS.items():
    rows = {
        label: [over_seeds(measured(part, kind, key), ".0f") for key in MEASURES]
        for kind, label in KINDS.items()
    }
    table(rows, [f"{title}, in %", *MEASURES.values()]).show()

# %% adherence_values values
SHORT = {
    "first of 100": "first",
    "among first 5": "five",
    "tone, checker": "tone",
    "tone, colour": "colour",
}
for part in (*PARTS, "others"):
    for kind in KINDS:
        for key, short in SHORT.items():
            if part == "others" and "tone" in key:
                continue
            each = measured(part, kind, key)
            name = f"{short} {part} {kind}".replace(",", "").replace(" ", "_")
            print(f"{name} = {sum(each) / len(each):.0f}")

# %% siblings
vq, (artist, tokenizer) = load_image_tokenizer(), load_artist()
test, train = openmoji("test", "combination")[::3], openmoji("train", "combination")
images = vq.decode(draw(artist, tokenizer, [prompt(p) for p in test], scale, heat))
trained = vq.decode(vq.encode(real_pictures(train)))
lookup = Names(train)
siblings = [
    [each for each in openmoji()
     if each.base == picture.base and each.drawing != picture.drawing]
    for picture in test
]  # fmt: skip
related = [index for index, others in enumerate(siblings) if others]
among = [[prompt(p) for p in (test[index], *siblings[index])] for index in related]
shown = {
    "real, as tokens": vq.decode(vq.encode(real_pictures(test))),
    "drawn": images,
    "nearest training name": trained[[lookup.nearest(picture) for picture in test]],
}
own = {
    label: (checker.ranks(each[related], among) == 1).double().mean().item()
    for label, each in shown.items()
} | {"chance": sum(1 / len(names) for names in among) / len(among)}
rows = {label: [100 * share] for label, share in own.items()}
table(rows, [f"{len(related)} names", "right among its siblings, %"], ".0f").show()

# %% siblings_values values
for label, share in own.items():
    key = label.replace(", ", "_").replace(" ", "_")
    print(f"own_{key} = {100 * share:.0f}")  # tolerance 30%
print(f"related = {len(related)}")

# %% hearts
runs = by_seed(checked, "hearts")
held = checked["hearts_held_out"]
right = {
    heart: [100 * run["right"][heart] for run in runs] for heart in runs[0]["right"]
}
seen = [heart for heart in right if heart not in held]
rows = {
    label: [over_seeds([sum(each) / len(each) for each in
                        zip(*(right[heart] for heart in hearts), strict=True)], ".0f")]
    for label, hearts in (("seen colours", seen), ("held-out colours", held))
} | {f"  {heart}": [over_seeds(right[heart], ".0f")] for heart in held}  # fmt: skip
table(rows, ["hearts", "nearest in colour to the right one, %"]).show()

# %% hearts_drawn
hearts = [picture for picture in openmoji() if picture.base == "heart"]
asked = [heart for heart in hearts for _ in range(4)]
codes = draw(artist, tokenizer, [prompt(heart) for heart in asked], scale, heat)
drawn = vq.decode(codes).unflatten(0, (12, 4)).unbind(1)[:2]
rows = torch.stack([real_pictures(hearts), *drawn])
figure = image_grid(
    pixels(rows), ["real", "drawn", ""],
    size=0.45,
)  # fmt: skip
plt.show()

# %% hearts_values values
print(f"hearts_seen = {sum(sum(right[h]) / 3 for h in seen) / len(seen):.0f}")
print(f"hearts_held = {sum(sum(right[h]) / 3 for h in held) / len(held):.0f}")
for heart, each in right.items():
    print(f"{heart.replace(' ', '_')} = {sum(each) / 3:.0f}")

# %% copies
rows = {
    label: [
        f"{sum(each) / len(each) / 100:.1f}"
        for key in ("distance to training", "distance to target")
        for each in [measured("held out", kind, key)]
    ]
    + [over_seeds(measured("held out", kind, "target is nearer"), ".0f")]
    for kind, label in KINDS.items()
    if kind
    in (
        "real, as tokens",
        "drawn, English",
        "drawn, Chinese",
        "nearest name",
        "no prompt",
    )
}
columns = ["held-out combinations", "ΔE to training", "ΔE to the picture",
           "picture is nearer, %"]  # fmt: skip
table(rows, columns).show()

# %% copies_values values
for part in (*PARTS, "others"):
    for kind in ("drawn, English", "real, as tokens", "no prompt"):
        name = f"{part} {kind}".replace(",", "").replace(" ", "_")
        each = measured(part, kind, "distance to training")
        print(f"distance_{name} = {sum(each) / len(each) / 100:.1f}")
        each = measured(part, kind, "same as a training picture")
        print(f"copies_{name} = {sum(each) / len(each):.0f}")
        each = measured(part, kind, "target is nearer")
        print(f"nearer_{name} = {sum(each) / len(each):.0f}")

# %% failures
ranks = checker.ranks(images, [[prompt(each) for each in candidates(p)] for p in test])
worst = ranks.argsort(descending=True)[:6].tolist()
nearest = nearest_pictures(images[worst], trained)[1]
rows = torch.stack([
    vq.decode(vq.encode(real_pictures([test[i] for i in worst]))), images[worst],
    trained[nearest],
], 1)  # (prompt, kind, 3, 32, 32)  # fmt: skip
figure = image_grid(
    pixels(rows), [prompt(test[i]) for i in worst],
    ["asked", "drawn", "nearest"], size=0.62,
)  # fmt: skip
verbatim(figure.axes[0].get_yticklabels())
plt.show()

# %% failures_values values
order = list(TONES.values())
pairs = [
    (order.index(p.tones[0]), order.index(seen))
    for p, seen in zip(test, skin_tones(images), strict=True)
    if len(p.tones) == 1
]
wrong = [abs(asked - seen) for asked, seen in pairs if asked != seen]
print(f"neighbouring = {100 * wrong.count(1) / len(wrong):.0f}")  # tolerance 30%
print(f"wrong_tones = {len(wrong)}")  # tolerance 30%

# %% deaf
shown = results("transformer", "drawing")["shown"]
codes = torch.tensor([run["drawn"][0] for run in decoder.values()])  # guidance 1
rows = vq.decode(codes.transpose(0, 1).flatten(0, 1)).unflatten(0, codes.shape[1::-1])
figure = image_grid(pixels(rows), shown, ["as is", "noisy"], size=1.3)
verbatim(figure.axes[0].get_yticklabels())
plt.show()

# %% nats
rows = {
    f"{run}: {name}": [
        decoder[run]["nats"][part][kind] for kind in ("en", "zh", "no name")
    ]
    for run in decoder
    for part, name in (
        ("train", "training pictures"),
        ("test", "held-out combinations"),
    )
}
columns = ["nats an image token", "English", "Chinese", "no name"]
table(rows, columns, ".2f").show()

# %% nats_values values
for run, found in decoder.items():
    for part in ("train", "test"):
        for kind in ("en", "zh", "no name"):
            key = kind.replace(" ", "_")
            print(f"nats_{run}_{part}_{key} = {found['nats'][part][kind]:.2f}")
        without, given = (found["nats"][part][kind] for kind in ("no name", "en"))
        print(f"worth_{run}_{part} = {without - given:.2f}")
    for guided, share in found["right tones"].items():
        print(f"tones_{run}_{guided} = {100 * share:.0f}")
print(f"plain_last = {decoder['plain']['curve'][-1]:.2f}")
print(f"disturbed_last = {decoder['disturbed']['curve'][-1]:.2f}")
