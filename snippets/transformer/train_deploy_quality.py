"""What 8 bits and wrong pooling cost in retrieval; nothing is trained."""

# %% settings
import tempfile
from pathlib import Path

import numpy as np
from torch import nn
from torch.nn import functional as F

from llm_tutorial.data.documentation import (
    documentation_questions,
    documented_objects,
    object_passages,
    reference_passages,
)
from llm_tutorial.data.splits import SPLITS
from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.deploy import (
    OnnxEncoder,
    embed_all,
    export_onnx,
    quantize_onnx,
    ranks,
    torch_run,
)
from llm_tutorial.transformer.sentence import SentenceEncoder

long_run = LongRun("deploy_quality", Path(__file__), probed_steps=1)
tokenizer = load_tokenizer("minilm")
encoder = load_encoder("minilm")
folder = Path(tempfile.mkdtemp())

# %% tasks
passages = [*reference_passages(), *object_passages()]
place = {passage.id: index for index, passage in enumerate(passages)}
questions = [q for split in SPLITS for q in documentation_questions(split) if q.answer]
objects = [found for split in SPLITS for found in documented_objects(split)]
long_run.data = {
    "passages": data_digest(passages),
    "questions": data_digest(questions),
    "objects": data_digest(objects),
}
TASKS = {  # name: queries, passages, the right ones of each query
    "questions": (
        [q.question for q in questions],
        [f"{passage.heading}\n{passage.text}" for passage in passages],
        [[place[each] for each in q.passages] for q in questions],
    ),
    "summaries": (
        [each.summary for each in objects],
        [each.body for each in objects],
        [[index] for index in range(len(objects))],
    ),
}


class FirstToken(nn.Module):
    def forward(self, input_ids, attention_mask):
        states = encoder(input_ids, attention_mask).last_hidden_state
        return F.normalize(states[:, 0], dim=-1)


class WithPadding(nn.Module):
    def forward(self, input_ids, attention_mask):
        states = encoder(input_ids, attention_mask).last_hidden_state
        return F.normalize(states.mean(1), dim=-1)


# %% variants
right = SentenceEncoder(encoder)
export_onnx(right, folder / "float.onnx")
quantize_onnx(folder / "float.onnx", folder / "channel.onnx")
quantize_onnx(folder / "float.onnx", folder / "tensor.onnx", per_channel=False)
quantize_onnx(folder / "float.onnx", folder / "linear.onnx", operators=["MatMul"])


def own(model, **kwargs):
    run = torch_run(model.eval())
    return lambda texts: embed_all(run, tokenizer, texts, **kwargs)


def shuffled(model):  # as texts arrive: no sorting by length
    run = torch_run(model.eval())

    def embed(texts):
        order = np.random.default_rng(0).permutation(len(texts))
        found = [
            embed_all(
                run, tokenizer, [texts[index] for index in order[start : start + 32]]
            )
            for start in range(0, len(texts), 32)
        ]
        return np.concatenate(found)[np.argsort(order)]

    return embed


VARIANTS = {
    "PyTorch": own(right),
    "ONNX, float32": OnnxEncoder(folder / "float.onnx", tokenizer),
    "int8 per channel": OnnxEncoder(folder / "channel.onnx", tokenizer),
    "int8 per tensor": OnnxEncoder(folder / "tensor.onnx", tokenizer),
    "int8, linear layers only": OnnxEncoder(folder / "linear.onnx", tokenizer),
    "first token": own(FirstToken()),
    "mean with padding": shuffled(WithPadding()),
    "padded on the left": own(right, side="left"),
}


# %% measure
def measure(embed, tasks):
    found = {}
    for name in tasks:
        queries, texts, answers = TASKS[name]
        chosen = list(long_run.few(range(len(queries)), 8))
        pool = range(len(texts))
        if len(chosen) < len(queries):  # a probe: few passages as well
            pool = sorted({index for query in chosen for index in answers[query]})
        where = {index: new for new, index in enumerate(pool)}
        embeddings = embed([texts[index] for index in pool])
        asked = embed([queries[index] for index in chosen])
        wanted = [[where[index] for index in answers[query]] for query in chosen]
        found[name] = {
            "ranks": ranks(asked, embeddings, wanted),
            "first": round(float(embeddings[:, 0].mean()), 4),
        }
        if name not in reference:  # of 200 passages, for the cosine
            few = [texts[index] for index in pool[:200]]
            reference[name] = VARIANTS["PyTorch"](few)
        cosine = (reference[name] * embeddings[:200]).sum(-1)
        found[name]["cosine"] = [
            round(float(value), 6) for value in np.quantile(cosine, [0, 0.01, 0.5])
        ]
    return found


reference: dict[str, np.ndarray] = {}
for name, embed in VARIANTS.items():
    eight = name == "PyTorch" or name.startswith("int8")
    tasks = list(TASKS) if eight else ["questions"]
    long_run.measure(name, lambda embed=embed, tasks=tasks: measure(embed, tasks))
    print(name, flush=True)
long_run.finish(steps=0, tolerance=0.1)
