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
torch.set_grad_enabled(False)
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
        "pixels": small_pixels(pixels) - 1,  # white is zero
        "colours": colour_histogram(pixels),
    }


gallery = described(first)


# %% recall
def recall(queries, items, right, k):  # cosine of rows
    queries = queries / queries.norm(dim=-1, keepdim=True)
    items = items / items.norm(dim=-1, keepdim=True)
    nearest = (queries @ items.T).topk(k).indices  # (queries, k)
    return right.gather(1, nearest).any(1).double().mean().item()


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
assert (
    recall(other["head"], gallery["head"], same, k=5)
    == (recall_at(other["head"], gallery["head"], same, [5])[5])
)

# %% retrieval
lines = described(first, "line")
kept = [
    i for i, each in enumerate(first) if each.group != "Flags"
]  # a flag has no lines
own = torch.eye(len(first)).bool()[kept]
elsewhere = subjects("validation")
stored = described(elsewhere)
kinds = torch.tensor(
    [[one.subgroup == each.subgroup for each in elsewhere] for one in first]
)
asked = kinds.any(1)  # subgroups that both sides have
rows = {}
for kind, label in KINDS.items():
    found = [
        recall_at(other[kind], gallery[kind], same, (1, 5)),
        recall_at(lines[kind][kept], gallery[kind], own, (1, 5)),
        recall_at(gallery[kind][asked], stored[kind], kinds[asked], (1, 5)),
    ]
    rows[label] = [100 * each[k] for each in found for k in (1, 5)]
retrieved = rows
columns = ["", "variant @1", "@5", "line @1", "@5", "kind @1", "@5"]
table(rows, columns, ".0f").show()

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
def of_names(pictures):  # (pictures, 384): MiniLM, the mean over tokens
    encoder, tokenizer = load_encoder(), load_tokenizer("minilm")
    texts = [prompt(picture) for picture in pictures]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    found = torch.empty(len(texts), 384)
    for start in range(0, len(order), 64):
        some = order[start : start + 64]
        batch = tokenizer([texts[i] for i in some], padding=True, return_tensors="pt")
        real = batch["attention_mask"][..., None]
        states = encoder(**batch).last_hidden_state * real
        found[some] = states.sum(1) / real.sum(1)
    return found


train = subjects("train")[::3]  # enough for a picture
names, labels = group_labels(train)
seen = {
    "pictures": (
        pooled_features(model, inputs(train, 96), ["head"])["head"],
        gallery["head"],
    ),
    "names": (of_names(train), of_names(first)),
}
figure, axes = panels(2, height=3.2)
groups = np.array([picture.group for picture in first])
SHOWN = ("Animals & Nature", "Flags", "Food & Drink", "People & Body", "Symbols")
for panel, (name, (known, unseen)) in zip(axes, seen.items(), strict=True):
    scores = fit_probe(known, labels, strengths=[0.01]).scores(unseen)  # (347, 9)
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
    rows[label] = [100 * found[key], f"{100 * gain:+.1f} ± {200 * error:.1f}"]
table(rows, ["", "right, %", "over the name alone, points"], [".1f", ""]).show()

# %% uses_values values
print(f"variants = {len(variants)}")
for row, label in (
    ("head", "head"),
    ("block 13", "best"),
    ("block 5", "early"),
    ("pixels", "pixels"),
    ("colours", "colours"),
):
    for at, task in ((0, "variant"), (2, "line"), (4, "kind")):
        print(f"{task}_{label} = {retrieved[row][at]:.0f}")  # tolerance 5%
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
for key in LABEL:
    print(f"fused_{key} = {100 * found[key]:.0f}")
    print(f"gain_{key} = {100 * found[f'{key} over name'][0]:.1f}")
    print(f"band_{key} = {200 * found[f'{key} over name'][1]:.1f}")
