# %% setup
import numpy as np
import torch
from matplotlib.patches import Rectangle
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
)

from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import model_folder
from llm_tutorial.plotting import COLOURS, GREY, use_style
from llm_tutorial.tables import table

use_style()

# %% readings
BLUE, ORANGE, GREEN = COLOURS[:3]
diagram = Diagram(width=26, height=26)
ids = diagram.text(4.7, 0.7, "token ids")
embedding = diagram.box(4.7, 3.6, ["embedding", "and positions"], 7.4, colour=GREY)
attention = diagram.box(4.7, 9.2, "attention", 6.2, colour=BLUE)
first_sum = diagram.text(4.7, 11.8, "+", fontsize=14)
feed_forward = diagram.box(4.7, 14.6, "feed-forward", 6.2, colour=ORANGE)
second_sum = diagram.text(4.7, 17.2, "+", fontsize=14)
head = diagram.box(4.7, 22, "output head", 7, colour=GREEN)
scores = diagram.text(4.7, 25.2, "scores")
for start, end in zip(
    (ids, embedding, attention, first_sum, feed_forward, second_sum, head),
    (embedding, attention, first_sum, feed_forward, second_sum, head, scores),
    strict=True,
):
    diagram.arrow(start, end)
for height, end in ((7, first_sum), (12.8, second_sum)):  # residuals
    diagram.arrow((4.7, height), end, via=[(0.9, height), (0.9, end.y)])
diagram.axes.add_patch(
    Rectangle((0.2, 6), 9, 12.4, facecolor="none", edgecolor=GREY, linestyle="--")
)
diagram.text(7.2, 19.2, "block × layers", fontsize=9)

readings = {
    "BERT, MiniLM": ["norm after", "learned positions", "GELU"],
    "SmolLM2": ["norm before", "rotary positions", "SwiGLU"],
    "encoder–decoder": ["two stacks:", "the second also", "attends to the first"],
    "ViT": ["norm before", "patches as tokens", "GELU"],
}
for row, (name, lines) in enumerate(readings.items()):
    top = 25 - 6.4 * row
    diagram.text(11, top, name, ha="left", weight="bold")
    for place, line in enumerate(lines):
        diagram.text(16.2, top - 1.5 - 1.2 * place, line, ha="left", fontsize=9)
    for query, key in np.ndindex(6, 6):  # a query is a row
        decoder = name == "encoder–decoder" and query > 2
        allowed = key <= query if name == "SmolLM2" or decoder else True
        if name == "encoder–decoder" and not decoder:
            allowed = key < 3
        place = (11.2 + 0.7 * key, top - 1.5 - 0.7 * query)
        colour = (BLUE, 0.7) if allowed else (GREY, 0.1)
        cross = allowed and decoder and key < 3
        diagram.axes.add_patch(
            Rectangle(place, 0.6, 0.6, facecolor=(ORANGE, 0.7) if cross else colour)
        )

# %% files
for name in ("minilm", "smollm2-135m"):
    files = sorted(path.name for path in model_folder(name).glob("[!.]*"))
    print(f"{name}:", *files, sep="\n  ")

# %% tensors
sizes = {}
for name in ("minilm", "smollm2-135m"):
    with safe_open(model_folder(name) / "model.safetensors", "pt") as file:
        keys = file.keys()
        sizes[name] = {key: file.get_slice(key).get_shape() for key in keys}
for key, shape in sizes["minilm"].items():
    if "layer." not in key or "layer.0." in key:
        print(f"{key:55}", *shape)

# %% parts
parts = ("embeddings", "attention", "feed-forward", "norms", "other")


def part_of(key):
    if "norm" in key.lower():
        return "norms"
    if "embed" in key:
        return "embeddings"
    if "attention" in key or "attn" in key:
        return "attention"
    layer = "layer." in key or "layers." in key
    return "feed-forward" if layer else "other"


shares = {}
for name, shapes in sizes.items():
    counts = dict.fromkeys(parts, 0)
    for key, shape in shapes.items():
        if key == "embeddings.position_ids":  # 0, 1, 2, …: nothing learned
            continue
        counts[part_of(key)] += np.prod(shape, dtype=int)
    total = sum(counts.values())
    shares[name] = [total, *(100 * count / total for count in counts.values())]
columns = ["", "parameters", *(f"{part}, %" for part in parts)]
table(shares, columns, [",", *[".1f"] * len(parts)]).show()

# %% parts_values values
for name, (total, *percents) in shares.items():
    print(f"parameters_{name.partition('-')[0]} = {total}")
    print(f"embeddings_{name.partition('-')[0]} = {percents[0]:.0f}")

# %% mapping
config = AutoConfig.from_pretrained(model_folder("smollm2-135m"))
print(config.model_type, "->", CONFIG_MAPPING[config.model_type].__name__)
print("AutoModel            ->", MODEL_MAPPING[type(config)].__name__)
print("AutoModelForCausalLM ->", MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__)
config.architectures = ["WhateverStandsHere"]
with torch.device("meta"):  # shapes without numbers
    model = AutoModelForCausalLM.from_config(config)
assert type(model) is MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]

# %% heads
asked = {
    "minilm": (AutoModel, AutoModelForMaskedLM, AutoModelForQuestionAnswering),
    "smollm2-135m": (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoModelForMaskedLM,
    ),
}
for name, autos in asked.items():
    config = AutoConfig.from_pretrained(model_folder(name))
    for auto in autos:
        try:
            with torch.device("meta"):
                model = auto.from_config(config)
        except ValueError as error:
            print(auto.__name__, "for", config.model_type, "->", str(error)[:36])
            continue
        # with a head, the body stands under its base_model_prefix
        body = "" if model.base_model is model else model.base_model_prefix + "."
        head = [
            f"{key} {tuple(tensor.shape)}"
            for key, tensor in model.named_parameters()
            if not key.startswith(body)
        ]
        print(f"{type(model).__name__}: {', '.join(head) or 'no tensor of its own'}")
