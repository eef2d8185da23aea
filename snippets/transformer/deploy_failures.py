# %% setup
import logging
import re
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import quantize_dynamic
from torch.nn import functional as F

from llm_tutorial.data.documentation import documentation_questions
from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.transformer.deploy import (
    INPUTS,
    embed_all,
    export_onnx,
    session,
    torch_run,
)
from llm_tutorial.transformer.sentence import SentenceEncoder

warnings.filterwarnings("ignore", message=".*LeafSpec|# The axis name")  # torch's own
logging.disable(logging.WARNING)
torch.set_grad_enabled(False)
folder = Path(tempfile.mkdtemp())
tokenizer = load_tokenizer("minilm")
questions = [question.question for question in documentation_questions("test")][:32]
encoder = SentenceEncoder(load_encoder("minilm")).eval()
right = embed_all(torch_run(encoder), tokenizer, questions)


def feed(texts, **kwargs):
    batch = tokenizer(texts, padding=True, return_tensors="np", **kwargs)
    return {name: batch[name] for name in INPUTS}


# %% fixed_shape
small = SentenceEncoder(load_encoder("minilm", num_hidden_layers=1)).eval()
sample = tuple(torch.from_numpy(array) for array in feed(questions[:2]).values())
fixed = torch.onnx.export(
    small, sample, input_names=INPUTS, dynamo=True, verbose=False, opset_version=23
)
fixed.save(folder / "fixed.onnx")
try:
    session(folder / "fixed.onnx").run(None, feed(questions[:3]))
except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
    print(*re.findall(r"Got: .*? Expected: \d+", str(error)), sep="\n")

export_onnx(small, folder / "any.onnx")
(theirs,) = session(folder / "any.onnx").run(None, feed(questions[:3]))
ours = small(*map(torch.from_numpy, feed(questions[:3]).values())).numpy()
assert np.abs(theirs - ours).max() < 1e-5


# %% wrong_pooling
def pooled(states, mask):  # what is written again in another language
    return {
        "first token": states[:, 0],
        "mean, padding included": states.mean(1),
        "mean over tokens": (states * mask[..., None]).sum(1) / mask.sum(1)[:, None],
    }


batch = [torch.from_numpy(array) for array in feed(questions).values()]
states = encoder.model(*batch).last_hidden_state
for name, vectors in pooled(states, batch[1]).items():
    cosine = F.normalize(vectors, dim=-1) @ torch.from_numpy(right).T
    print(f"{name:24}cosine with the right one {cosine.diagonal().median():.2f}")
assert cosine.diagonal().min() > 0.9999

# %% wrong_side
left = torch_run(encoder)(feed(questions, padding_side="left"))
cosine = (left * right).sum(-1)
print(f"padded on the left: cosine {np.median(cosine):.2f}, lowest {cosine.min():.2f}")
longest = np.argmax(feed(questions)["attention_mask"].sum(1))
assert cosine[longest] > 0.9999  # no padding: right again

# %% attention_quantised
quantize_dynamic(folder / "any.onnx", folder / "default.onnx", per_channel=True)
try:
    session(folder / "default.onnx")
except onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph as error:
    print(re.search(r"Unrecognized attribute: \S+ for operator \S+", str(error))[0])

# %% retired
model = encoder.model
RETIRED = {
    "import transformers.onnx": lambda: import_module("transformers.onnx"),
    "model.to_bettertransformer()": lambda: model.to_bettertransformer(),
    "from_pretrained(…, torchscript=True)": lambda: load_encoder(
        "minilm", torchscript=True
    ),
    "torch.onnx.dynamo_export(…)": lambda: torch.onnx.dynamo_export(small, *sample),
}
for call, run in RETIRED.items():
    try:
        run()
    except (ImportError, AttributeError, TypeError) as error:
        print(f"{call:38}{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"{call} still works")
