# %% setup
import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from tokenizers import Tokenizer
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from llm_tutorial.data.documentation import documentation_questions
from llm_tutorial.diagrams import Diagram
from llm_tutorial.models import load_encoder, load_tokenizer, model_folder
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style
from llm_tutorial.tables import table
from llm_tutorial.transformer import deploy as library

use_style()
warnings.filterwarnings("ignore", message=".*LeafSpec|# The axis name")  # torch's own
logging.disable(logging.WARNING)
torch.set_grad_enabled(False)
torch.set_num_threads(1)
folder = Path(tempfile.mkdtemp())

# %% ways
BLUE, ORANGE, GREEN = COLOURS[:3]
diagram = Diagram(width=26, height=19)
model = diagram.box(5, 16.8, ["PyTorch", "model.py, weights"], 8.6, colour=BLUE)
exported = diagram.box(5, 11.4, ["ONNX file", "graph and weights"], 8.6, colour=ORANGE)
eight = diagram.box(5, 6, ["ONNX file", "8-bit weights"], 8.6, colour=ORANGE)
merged = diagram.box(
    18.5, 11.4, ["safetensors", "config, tokenizer"], 8.6, colour=GREEN
)
runtime = diagram.box(5, 1.6, "ONNX Runtime", 8.6)
servers = diagram.box(18.5, 1.6, "vLLM, llama.cpp", 8.6)
diagram.arrow(model, exported, "export")
diagram.arrow(exported, eight, "quantize")
diagram.arrow(eight, runtime)
diagram.arrow(model, merged, via=[(18.5, 16.8)])
diagram.text(18.5, 17.8, "merge, save", fontsize=9)
diagram.text(12, 6, "token ids in,", fontsize=9)
diagram.text(12, 4.8, "embedding out", fontsize=9)
diagram.text(21.6, 6, "text in,", fontsize=9)
diagram.text(21.6, 4.8, "text out", fontsize=9)
diagram.arrow(merged, servers)


# %% encoder
class SentenceEncoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):  # (batch, length) each
        states = self.model(input_ids, attention_mask).last_hidden_state
        real = attention_mask[..., None].to(states.dtype)  # (batch, length, 1)
        mean = (states * real).sum(1) / real.sum(1)  # over tokens, not padding
        return F.normalize(mean, dim=-1)  # (batch, 384)


tokenizer, minilm = load_tokenizer("minilm"), load_encoder("minilm")
encoder = SentenceEncoder(minilm).eval()

# %% export
ids = torch.ones(2, 8, dtype=torch.long)  # a sample: a size of 1 would stay 1
sizes = {0: Dim("batch", min=1, max=4096), 1: Dim("length", min=2, max=512)}
program = torch.onnx.export(
    encoder,
    (ids, torch.ones_like(ids)),
    input_names=["input_ids", "attention_mask"],
    output_names=["sentence_embedding"],
    dynamic_shapes=(sizes, sizes),  # of both inputs
    opset_version=23,  # attention is one operator
    dynamo=True,
    verbose=False,
)
program.save(folder / "float.onnx", external_data=False)

# %% inside
graph = onnx.load(folder / "float.onnx").graph
for value in (*graph.input, *graph.output):
    dims = value.type.tensor_type.shape.dim
    print(value.name, [dim.dim_param or dim.dim_value for dim in dims])
operators = Counter(node.op_type for node in graph.node)
print(dict(operators.most_common(8)))
assert operators["Attention"] == minilm.config.num_hidden_layers

# %% agree
session = onnxruntime.InferenceSession(folder / "float.onnx")
questions = [question.question for question in documentation_questions("test")]
for texts in (questions[:1], questions[:7], [" ".join(questions[:25])]):
    batch = tokenizer(texts, padding=True, return_tensors="np")
    feed = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    (theirs,) = session.run(None, feed)
    ours = encoder(*map(torch.from_numpy, feed.values())).numpy()
    assert np.abs(theirs - ours).max() < 1e-5
    print("texts, tokens:", *batch["input_ids"].shape)

# %% elsewhere
plain = Tokenizer.from_file(str(model_folder("minilm") / "tokenizer.json"))
print("as downloaded:", plain.truncation["max_length"], plain.padding["length"])
plain.enable_truncation(256)
plain.enable_padding()  # to the longest of a call, with id 0, on the right
plain.save(str(folder / "tokenizer.json"))  # hand this one over

plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
texts = [*questions[:7], " ".join(questions[:25])]  # the last is cut
encoded = plain.encode_batch(texts)
feed = {
    "input_ids": np.array([each.ids for each in encoded]),
    "attention_mask": np.array([each.attention_mask for each in encoded]),
}
(embeddings,) = session.run(None, feed)  # no PyTorch, no Transformers

batch = tokenizer(texts, padding=True, truncation=True, max_length=256)
ours = encoder(*map(torch.tensor, (batch["input_ids"], batch["attention_mask"])))
assert np.abs(embeddings - ours.numpy()).max() < 1e-5


# %% eight_bits
def round_weight(weight, per_channel=True):  # (in, out), once
    largest = np.abs(weight).max(axis=0 if per_channel else None, keepdims=True)
    scale = largest / 127
    return np.round(weight / scale).astype(np.int8), scale


def round_input(x):  # (token, in), at each call: one scale for all of it
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    zero = np.round(-low / scale)  # the integer that stands for 0
    return np.clip(np.round(x / scale) + zero, 0, 255).astype(np.uint8), scale, zero


def linear_in_8_bits(x, weight, per_channel=True):
    q_x, s_x, zero = round_input(x)
    q_w, s_w = round_weight(weight, per_channel)
    integers = (q_x.astype(np.int32) - np.int32(zero)) @ q_w.astype(np.int32)
    return s_x * s_w * integers  # back to floating point: (token, out)


# %% real_layers
inputs, linears = {}, {}
for name, module in minilm.named_modules():
    if isinstance(module, nn.Linear) and "layer." in name:
        linears[name.removeprefix("encoder.")] = module
        module.register_forward_hook(
            lambda _, args, __, name=name: inputs.update(
                {name.removeprefix("encoder."): args[0].flatten(0, 1).numpy()}
            )
        )
_ = minilm(**tokenizer(questions[5], return_tensors="pt"))  # one text: no padding


# %% library_agrees
def by_library(x, weight, per_channel):  # a file with one MatMul, then quantised
    n, out = weight.shape
    values = [
        helper.make_tensor_value_info(*v)
        for v in (("x", 1, [None, n]), ("y", 1, [None, out]))
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    initial = numpy_helper.from_array(weight, "w")
    one = helper.make_graph([node], "one", values[:1], values[1:], [initial])
    opsets = [helper.make_opsetid("", 23)]
    onnx.save(helper.make_model(one, opset_imports=opsets), folder / "one.onnx")
    quantize_dynamic(folder / "one.onnx", folder / "one8.onnx", per_channel=per_channel)
    return onnxruntime.InferenceSession(folder / "one8.onnx").run(None, {"x": x})[0]


name = "layer.0.output.dense"
x, weight = inputs[name], linears[name].weight.numpy().T.copy()
exact = x @ weight
for per_channel in (True, False):
    ours = linear_in_8_bits(x, weight, per_channel)
    theirs = by_library(x, weight, per_channel)
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(exact).max()
    error = np.linalg.norm(ours - exact, axis=0) / np.linalg.norm(exact, axis=0)
    kind = "per channel" if per_channel else "per tensor"
    print(f"{kind}: relative error of an output, median {np.median(error):.2f}")


# %% weight_errors
found = {"per tensor": [], "per channel": []}
crests = []
for module in linears.values():
    weight = module.weight.numpy().T
    crests.append(np.abs(weight).max() / np.sqrt((weight**2).mean()))
    for kind, errors in found.items():
        q, scale = round_weight(weight, kind == "per channel")
        errors.append(np.linalg.norm(q * scale - weight) / np.linalg.norm(weight))
predicted = np.array(crests) / (127 * np.sqrt(12))
ratio = np.array(found["per tensor"]) / predicted
assert ratio.min() > 0.99 and ratio.max() < 1.01
worst = list(linears)[int(np.argmax(crests))]
share = np.mean(round_weight(linears[worst].weight.numpy().T, False)[0] == 0)

# %% weight_errors_values values
print(f"worst_crest = {max(crests):.0f}")
print(f"worst_tensor = {100 * max(found['per tensor']):.0f}")
print(f"worst_channel = {100 * found['per channel'][int(np.argmax(crests))]:.1f}")
print(f"median_tensor = {100 * np.median(found['per tensor']):.1f}")
print(f"median_channel = {100 * np.median(found['per channel']):.1f}")
print(f"worst_zeros = {100 * share:.0f}")
early = [
    error
    for name, error in zip(linears, found["per tensor"], strict=True)
    if name in [f"layer.{k}.output.dense" for k in range(5)]
]
print(f"early_low = {100 * min(early):.0f}")
print(f"early_high = {100 * max(early):.0f}")
others = [error for error in found["per tensor"] if error not in early]
print(f"others_high = {100 * max(others):.0f}")

# %% weight_errors_figure
figure, (axes,) = panels()
line = np.array([4, 300])
axes.plot(line, line / (127 * np.sqrt(12)), color=GREY, marker="", label="_")
for (kind, errors), marker in zip(found.items(), "os", strict=True):
    axes.plot(crests, errors, marker, label=kind, alpha=0.8)
axes.set(
    xscale="log",
    yscale="log",
    xlabel="largest weight / root mean square",
    ylabel="relative error of the weights",
)
axes.text(60, 0.19, "predicted", ha="right", fontsize=10)
axes.text(
    crests[5] * 0.9,
    found["per tensor"][5],
    worst,
    ha="right",
    va="bottom",
    fontsize=9,
    gid="verbatim",
)
legend(axes)


# %% which_rounding
def rounded(x):  # to 8 bits and back
    integers, scale, zero = round_input(x)
    return scale * (integers - zero)


name = "layer.0.output.dense"
x, weight = inputs[name], linears[name].weight.numpy().T
exact, (q_w, s_w) = x @ weight, round_weight(weight)
attempts = {
    "weights": x @ (q_w * s_w),
    "inputs": rounded(x) @ weight,
    "inputs, a scale for each token": np.vstack([rounded(row) for row in x]) @ weight,
}
errors = {
    kind: np.median(
        np.linalg.norm(found - exact, axis=0) / np.linalg.norm(exact, axis=0)
    )
    for kind, found in attempts.items()
}
for kind, error in errors.items():
    print(f"{kind:32}{error:.2f}")
largest = dict(
    zip(tokenizer(questions[5]).tokens(), np.abs(x).max(axis=1), strict=True)
)
print("largest:", *(f"{token} {value:.1f}" for token, value in largest.items()))
token, channel = np.unravel_index(np.abs(x).argmax(), x.shape)
row, output = np.unravel_index(np.abs(weight).argmax(), weight.shape)
assert token == 0 and channel == row  # [CLS]; the largest input meets that weight

# %% which_rounding_values values
print(f"error_weights = {errors['weights']:.2f}")
print(f"error_inputs = {errors['inputs']:.2f}")
print(f"error_per_token = {errors['inputs, a scale for each token']:.2f}")
print(f"largest_cls = {max(largest.values()):.0f}")
print(f"largest_other = {sorted(largest.values())[-2]:.1f}")
print(f"product = {exact[token, output]:.0f}")
print(f"usual_output = {np.median(np.abs(exact)):.1f}")
every = []
for layer, module in linears.items():
    right = inputs[layer] @ module.weight.numpy().T
    wrong = rounded(inputs[layer]) @ module.weight.numpy().T
    error = np.linalg.norm(wrong - right, axis=0) / np.linalg.norm(right, axis=0)
    every.append(np.median(error))
print(f"every_median = {np.median(every):.2f}")
print(f"every_high = {np.max(every):.2f}")
print(f"every_second = {np.sort(every)[-2]:.2f}")

# %% quantize
library.quantize_onnx(folder / "float.onnx", folder / "int8.onnx")
library.quantize_onnx(folder / "float.onnx", folder / "tensor.onnx", per_channel=False)
by_name = {
    "float32": library.OnnxEncoder(folder / "float.onnx", tokenizer),
    "int8, per channel": library.OnnxEncoder(folder / "int8.onnx", tokenizer),
    "int8, per tensor": library.OnnxEncoder(folder / "tensor.onnx", tokenizer),
}
right = library.embed_all(library.torch_run(encoder), tokenizer, questions)
rows = {}
for name, path in zip(by_name, ("float", "int8", "tensor"), strict=True):
    cosine = (by_name[name](questions) * right).sum(-1)
    size = (folder / f"{path}.onnx").stat().st_size / 1e6
    rows[name] = [size, np.median(cosine), cosine.min()]
table(
    rows, ["", "MB", "cosine, median", "cosine, lowest"], [".1f", ".4f", ".4f"]
).show()
assert rows["float32"][2] > 0.9999 > rows["int8, per channel"][1]

# %% quantize_values values
print(f"megabytes_float = {rows['float32'][0]:.1f}")
print(f"megabytes_int8 = {rows['int8, per channel'][0]:.1f}")
print(f"smaller = {rows['float32'][0] / rows['int8, per channel'][0]:.1f}")
print(f"cosine_channel = {rows['int8, per channel'][1]:.3f}")
print(f"cosine_tensor = {rows['int8, per tensor'][1]:.3f}")

# %% company
company = {}
for name, encode in by_name.items():
    alone = np.concatenate([encode([question]) for question in questions])
    company[name] = (encode(questions) * alone).sum(-1)
    low, middle = company[name].min(), np.median(company[name])
    print(f"{name:18}alone and in a batch: cosine {middle:.4f}, lowest {low:.4f}")
assert company["float32"].min() > 0.9999 > company["int8, per channel"].max()

# %% company_values values
print(f"company_median = {np.median(company['int8, per channel']):.3f}")
