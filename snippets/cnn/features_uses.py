# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch

from llm_tutorial.cnn.efficientnet import load_efficientnet
from llm_tutorial.cnn.features import (
    colour_histogram,
    fit_probe,
    group_labels,
    inputs,
    pooled_features,
    recall_at,
    small_pixels,
    subjects,
)
from llm_tutorial.data.openmoji import drawings, openmoji, prompt
from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import (
    COLOURS,
    image_grid,
    legend,
    panels,
    use_style,
)
from llm_tutorial.results import results
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
manifest = results("cnn", "features")
measured, best = manifest["metrics"], manifest["best"]
model = load_efficientnet()
first = subjects("test")  # 347, one of each subject
KINDS = {
    "blocks.4": "block 5", best: "block 13", "head": "head",
    "pixels": "pixels", "colours": "colours",
}  # fmt: skip


def described(pictures, layer="color"):
    found = pooled_features(
        model, inputs(pictures, 96, layer), ["blocks.4", best, "head"]
    )
    pixels = drawings(pictures, 64, layer)
    return found | {
        "pixels": small_pixels(pixels),
        "colours": colour_histogram(pixels),
    }


gallery = described(first)


# %% recall
def recall(queries, items, right, k):  # cosine, after the mean is taken off
    mean = items.mean(0)
    queries, items = queries - mean, items - mean
    queries = queries / queries.norm(dim=-1, keepdim=True)
    items = items / items.norm(dim=-1, keepdim=True)
    nearest = (queries @ items.T).topk(k).indices  # (queries, k)
    return 100 * right.gather(1, nearest).any(1).double().mean().item()


codes = {picture.code for picture in first}
drawn = {picture.base: picture.drawing for picture in first}
variants = [
    picture
    for picture in [*openmoji("validation"), *openmoji("test")]
    if picture.code not in codes and picture.drawing != drawn[picture.base]
]
bases = np.array([picture.base for picture in first])
same = torch.tensor(np.array([picture.base for picture in variants])[:, None] == bases)
other = described(variants)  # other genders, tones, colours of the same subjects
mean = gallery["head"].mean(0)
library = recall_at(other["head"] - mean, gallery["head"] - mean, same, [5])
assert abs(recall(other["head"], gallery["head"], same, k=5) - 100 * library[5]) < 0.5

# %% retrieval
lines = described(first, "line")
kept = [i for i, each in enumerate(first) if each.group != "Flags"]
own = torch.eye(len(first)).bool()[kept]
elsewhere = subjects("validation")
stored = described(elsewhere)
kinds = torch.tensor(
    [[one.subgroup == each.subgroup for each in elsewhere] for one in first]
)
asked = kinds.any(1)  # subgroups that both sides have
moved = {"pixels": small_pixels(np.roll(drawings(first, 64, "line"), (4, 4), (1, 2)))}
moved |= pooled_features(model, inputs(first, 96, "line").roll((6, 6), (2, 3)), [best])
retrieved = {}
for kind, label in KINDS.items():
    retrieved[label] = [
        recall(other[kind], gallery[kind], same, 1),
        recall(other[kind], gallery[kind], same, 5),
        recall(lines[kind][kept], gallery[kind], own, 1),
        recall(moved[kind][kept], gallery[kind], own, 1) if kind in moved else "",
        recall(gallery[kind][asked], stored[kind], kinds[asked], 1),
        recall(gallery[kind][asked], stored[kind], kinds[asked], 5),
    ]
chance = [100 / len(first), 500 / len(first), 100 / len(first), 100 / len(first)]
chance += [100 * kinds[asked].double().mean().item(), ""]
retrieved["by chance"] = chance
columns = ["", "variant @1", "@5", "line @1", "moved line @1", "kind @1", "@5"]
table(retrieved, columns, ".0f").show()

# %% versions
some = [first[i] for i in (20, 45, 70, 110, 150, 200, 240)]
color = drawings(some, 64)
grey = np.repeat(color.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
dark = drawings(some, 64, background=(0, 0, 0))
grid = np.stack([color, drawings(some, 64, "line"), grey, dark])[:, :, ::2, ::2]
image_grid(grid // 32 * 32, ["colour", "lines", "grey", "dark ground"], size=0.5)
plt.show()

# %% shift
rows = {}
SEEN = {"color": "colour", "line": "lines", "color and line": "both"}
for seen, label in SEEN.items():
    for kind, name in KINDS.items():
        if (run := measured.get(f"{kind}, seen {seen}")) is not None:
            rows[f"{name}, trained on {label}"] = [
                100 * run[change] for change in ("color", "line", "grey", "dark ground")
            ]
table(rows, ["", "colour", "lines", "grey", "dark ground"], ".0f").show()


# %% names
@torch.no_grad()
def of_names(pictures):  # (pictures, 384): MiniLM, the mean over tokens
    encoder, tokenizer = load_encoder(), load_tokenizer("minilm")
    texts = [prompt(picture) for picture in pictures]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    found = torch.empty(len(texts), 384)
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        batch = tokenizer([texts[i] for i in part], padding=True, return_tensors="pt")
        real = batch["attention_mask"][..., None]
        states = encoder(**batch).last_hidden_state * real
        found[part] = states.sum(1) / real.sum(1)
    return found


some = subjects("train")[::3]  # enough for the plot
group_of = group_labels(some)[1]
seen = {
    "pictures": (
        pooled_features(model, inputs(some, 96), ["head"])["head"],
        gallery["head"],
    ),
    "names": (of_names(some), of_names(first)),
}
figure, axes = panels(2, height=3.2)
groups = np.array([picture.group for picture in first])
SHOWN = ("Animals & Nature", "Flags", "Food & Drink", "People & Body", "Symbols")
for panel, (name, (known, unseen)) in zip(axes, seen.items(), strict=True):
    scores = fit_probe(known, group_of, strengths=[0.01]).scores(unseen)  # (347, 9)
    centred = scores - scores.mean(0)
    plane = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    for group, colour in zip(SHOWN, COLOURS, strict=False):
        points = plane[groups == group].T
        panel.plot(*points, ".", color=colour, ms=4, label=group)
    panel.set_title(name)
    panel.set_xlabel("first direction")
    panel.set_ylabel("second direction")
legend(figure, ncols=3)
plt.show()

# %% fused
found = measured["picture and name"]
rows = {}
LABEL = {
    "picture": "picture alone", "name": "name alone",
    "joined": "features joined", "summed": "scores summed",
}  # fmt: skip
for key, label in LABEL.items():
    gain, error = found[f"{key} over name"]
    over = "" if key == "name" else f"{100 * gain:+.1f} ± {200 * error:.1f}"
    rows[label] = [100 * found[key], over]
columns = ["", "right, %", "over the name alone ± two standard errors, points"]
table(rows, columns, [".1f", ""]).show()

# %% uses_values values
print(f"variants = {len(variants)}")
ROWS = {"head": "head", "block 13": "best", "block 5": "early", "pixels": "pixels"}
for row, label in ROWS.items():
    for at, task in ((0, "variant"), (2, "line"), (4, "kind")):
        print(f"{task}_{label} = {retrieved[row][at]:.0f}")  # tolerance 5%
for row in ("pixels", "block 13"):
    print(f"moved_{ROWS[row]} = {retrieved[row][3]:.0f}")  # tolerance 5%
print(f"kept = {len(kept)}")
print(f"asked = {int(asked.sum())}")
for kind, label in {"head": "head", best: "best", "pixels": "pixels"}.items():
    colour, both = (
        measured[f"{kind}, seen color"],
        measured[f"{kind}, seen color and line"],
    )
    print(f"shift_{label}_color = {100 * colour['color']:.0f}")
    print(f"shift_{label}_line = {100 * colour['line']:.0f}")
    print(f"shift_{label}_dark = {100 * colour['dark ground']:.0f}")
    print(f"shift_{label}_grey = {100 * colour['grey']:.0f}")
    print(f"both_{label}_color = {100 * both['color']:.0f}")
    print(f"both_{label}_line = {100 * both['line']:.0f}")
    print(f"both_{label}_grey = {100 * both['grey']:.0f}")
for key in LABEL:
    print(f"fused_{key} = {100 * found[key]:.0f}")
    print(f"gain_{key} = {100 * found[f'{key} over name'][0]:.1f}")
    print(f"band_{key} = {200 * found[f'{key} over name'][1]:.1f}")
