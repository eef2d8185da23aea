# %% setup
import numpy as np

from llm_tutorial.data.documentation import (
    documentation_questions,
    object_passages,
    reference_passages,
)
from llm_tutorial.data.splits import SPLITS
from llm_tutorial.plotting import GREY, legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.runs import data_digest
from llm_tutorial.tables import table
from llm_tutorial.transformer.deploy import interval, reciprocal

use_style()

# %% quality
runs = results("transformer", "deploy_quality")["metrics"]


def lost(name, task):  # MRR@10 in points, and what is lost query by query
    right, found = (
        100 * reciprocal(runs[each][task]["ranks"]) for each in ("PyTorch", name)
    )
    low, high = interval(right - found)
    return found.mean(), (right - found).mean(), low, high


rows = {}
for name, run in runs.items():
    rows[name] = []
    for task in ("questions", "summaries"):
        if task in run:
            found, mean, low, high = lost(name, task)
            rows[name] += [f"{found:.1f}", f"{mean:.1f} [{low:.1f}, {high:.1f}]"]
        else:
            rows[name] += ["", ""]
    rows[name].append(f"{run['questions']['cosine'][2]:.4f}")
columns = ["", "questions", "lost", "summaries", "lost", "cosine"]
table(rows, columns).show()
ranks = {name: run["questions"]["ranks"] for name, run in runs.items()}
assert ranks["ONNX, float32"] == ranks["PyTorch"]

# %% quality_values values
passages = [*reference_passages(), *object_passages()]
assert (
    data_digest(passages)
    == results("transformer", "deploy_quality")["data"]["passages"]
)
print(f"passages = {len(passages)}")
print(f"all_questions = {sum(len(documentation_questions(split)) for split in SPLITS)}")
print(f"questions = {len(runs['PyTorch']['questions']['ranks'])}")
print(f"summaries = {len(runs['PyTorch']['summaries']['ranks'])}")
for name, key in {
    "ONNX, float32": "onnx",
    "int8 per channel": "channel",
    "int8 per tensor": "tensor",
    "int8, linear layers only": "linear",
    "first token": "first",
    "mean with padding": "padding",
    "padded on the left": "left",
}.items():
    for task in runs[name]:
        found, mean, low, high = lost(name, task)
        print(f"{key}_{task} = {found:.1f}")
        print(f"{key}_{task}_lost = {mean:.1f}")
        print(f"{key}_{task}_low = {low:.1f}")
        print(f"{key}_{task}_high = {high:.1f}")
for task in ("questions", "summaries"):
    tensor, channel = (
        100 * reciprocal(runs[f"int8 per {each}"][task]["ranks"])
        for each in ("tensor", "channel")
    )
    low, high = interval(channel - tensor)
    assert low < 0 < high  # neither is better
    for key, each in (("tensor", "int8 per tensor"), ("channel", "int8 per channel")):
        right, found = (
            np.array(runs[name][task]["ranks"]) for name in ("PyTorch", each)
        )
        print(f"{key}_{task}_better = {100 * np.mean(found < right):.0f}")
        print(f"{key}_{task}_worse = {100 * np.mean(found > right):.0f}")
print(f"float_questions = {lost('PyTorch', 'questions')[0]:.1f}")
print(f"float_summaries = {lost('PyTorch', 'summaries')[0]:.1f}")

# %% speed
races = results("transformer", "deploy_speed")["metrics"]
named = {
    "torch.compile": "torch.compile",
    "AOTInductor": "torch.export, AOTInductor",
    "torchao int8": "torchao int8, compiled",
    "ONNX Runtime": "ONNX opset 23",
    "ONNX Runtime int8": "ONNX opset 23 int8",
}


# %% speed_figure
figure, axes = panels(2, height=3)
shapes = list(races["threads 1"])
for panel, threads in zip(axes, (1, 2), strict=True):
    race = races[f"threads {threads}"]
    for row, (name, setting) in enumerate(named.items()):
        found = [(i, race[shape].get(setting)) for i, shape in enumerate(shapes)]
        found = [(i, quartiles) for i, quartiles in found if quartiles]
        x = [i + 0.13 * (row - 2) for i, _ in found]
        low, middle, high = zip(*(quartiles for _, quartiles in found), strict=True)
        errors = np.abs(np.array([low, high]) - middle)
        panel.errorbar(x, middle, errors, label=name, linestyle="", lw=1.2)
    panel.axhline(1, color=GREY, lw=1)
    panel.set_xticks(range(len(shapes)), shapes)
    panel.set(
        ylim=(0, None), xlabel="texts × tokens", ylabel="speed over eager PyTorch"
    )
    panel.set_title("one thread" if threads == 1 else "two threads")
legend(figure)

# %% speed_values values
for threads in (1, 2):
    for shape in shapes:
        key = shape.replace(" × ", "_")
        for name, setting in named.items():
            quartiles = races[f"threads {threads}"][shape].get(setting)
            if quartiles:
                word = name.replace(" ", "_").replace(".", "_").lower()
                print(f"{word}_{threads}_{key} = {quartiles[1]:.2f}")
