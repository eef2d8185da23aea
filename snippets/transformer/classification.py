# %% setup
import itertools
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    pipeline,
)
from transformers.utils import logging

from llm_tutorial.data.reviews import reviews
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, use_style
from llm_tutorial.results import weights
from llm_tutorial.transformer.classification import small_config

torch.manual_seed(0)
use_style()
logging.set_verbosity_error()
logging.disable_progress_bar()

# %% chain
diagram = Diagram(width=24, height=21.4)
steps = (
    (20.2, ["text"], COLOURS[5]),
    (16.8, ["encoder", "a vector for each token"], COLOURS[0]),
    (12.8, ["head", "one logit for each class"], COLOURS[0]),
    (8.8, ["calibration", "how often it is right"], COLOURS[1]),
    (4.8, ["threshold", "what a mistake costs"], COLOURS[1]),
    (1.2, ["decision"], COLOURS[5]),
)
boxes = [diagram.box(12, y, lines, 19, colour=colour) for y, lines, colour in steps]
for above, below in itertools.pairwise(boxes):
    diagram.arrow(above, below)
plt.show()

# %% load
folder = weights("transformer", "classification")  # trained for this page
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
texts = ["屏幕很好，物流也快！", "房间又小又吵，不会再来。", "书还行，就是有点贵。"]
inputs = tokenizer(texts, padding=True, return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits  # (text, class)
for text, p in zip(texts, logits.softmax(-1), strict=True):
    print(text, *(f"{model.config.id2label[c]} {p[c]:.3f}" for c in (0, 1)))
assert logits.argmax(-1)[:2].tolist() == [1, 0]


# %% head
class Classifier(nn.Module):
    """An encoder, the vector of its first token, and one logit for each class."""

    def __init__(self, encoder: nn.Module, labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.pooler = nn.Linear(width, width)  # W_p, b_p
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, labels)  # W, b

    def forward(self, input_ids, attention_mask):
        states = self.encoder(input_ids, attention_mask).last_hidden_state
        pooled = torch.tanh(self.pooler(states[:, 0]))  # (batch, width), of [CLS]
        return self.classifier(self.dropout(pooled))  # (batch, labels)


# %% losses
def classification_loss(logits, labels):
    if logits.shape[-1] == 1:  # regression: one number for each text
        return (logits[:, 0] - labels).square().mean()
    if labels.dtype == torch.long:  # one class: (batch,)
        log_p = logits - logits.logsumexp(-1, keepdim=True)
        return -log_p.gather(1, labels[:, None]).mean()
    # any number of classes: (batch, labels) of 0.0 and 1.0
    signs = 2 * labels - 1
    return F.softplus(-signs * logits).mean()  # -log sigma(+z) or -log sigma(-z)


# %% same_as_library
ids, mask = inputs["input_ids"], inputs["attention_mask"]
targets = {
    "one class": (3, torch.tensor([2, 0, 1])),
    "several classes": (3, torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 1]])),
    "a number": (1, torch.tensor([0.5, -1.0, 2.0])),
}
for name, (labels, target) in targets.items():
    config = small_config(len(tokenizer), [str(n) for n in range(labels)])
    library = BertForSequenceClassification(config).eval()  # random weights
    ours = Classifier(library.bert, labels).eval()
    ours.pooler, ours.classifier = library.bert.pooler.dense, library.classifier
    out = library(ids, mask, labels=target)
    assert torch.allclose(ours(ids, mask), out.logits, atol=1e-6)
    loss = classification_loss(ours(ids, mask), target)
    assert torch.allclose(loss, out.loss, atol=1e-6)
    print(f"{name:16} {library.config.problem_type:27} loss {loss:.4f}")

# %% gradient
z = torch.randn(5, 3, requires_grad=True)
y = torch.tensor([0, 2, 1, 1, 0])
classification_loss(z, y).backward()
assert torch.allclose(z.grad, (z.softmax(-1) - F.one_hot(y)) / 5, atol=1e-7)

# %% pipeline
classify = pipeline("text-classification", model=folder, dtype=torch.float32)
answers = classify(texts, top_k=None)  # every class, the most probable first
for text, answer in zip(texts, answers, strict=True):
    print(text, *(f"{each['label']} {each['score']:.3f}" for each in answer))
by_hand = [sorted(p, reverse=True) for p in logits.softmax(-1).tolist()]
scores = [[each["score"] for each in answer] for answer in answers]
assert torch.allclose(torch.tensor(scores), torch.tensor(by_hand), atol=1e-5)

# %% long_text
long = reviews("test")[0].text * 40
print(len(long), "characters,", len(tokenizer(long).input_ids), "tokens")
try:
    classify(long)
except RuntimeError as error:
    print("without truncation:", type(error).__name__)
print("with it:", classify(long, truncation=True)[0]["label"])

# %% save
with tempfile.TemporaryDirectory() as saved:
    model.save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    for file in sorted(Path(saved).iterdir()):
        print(f"{file.name:24} {file.stat().st_size / 1e3:,.1f} kB")
    again = AutoModelForSequenceClassification.from_pretrained(saved)
    assert torch.equal(again(ids, mask).logits, model(ids, mask).logits)
    encoder = AutoModel.from_pretrained(saved)  # with W_p; W and b stay behind
    expected = model(ids, mask).logits / 2.6  # a temperature, moved into the head
    for parameter in again.classifier.parameters():
        parameter.data /= 2.6
    assert torch.allclose(again(ids, mask).logits, expected, atol=1e-5)
print(model.config.id2label)

# %% lower_precision
low = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
held_out = tokenizer(
    [review.text for review in reviews("test")[:200]],
    padding=True, truncation=True, return_tensors="pt",
)  # fmt: skip
with torch.inference_mode():
    p32, p16 = (m(**held_out).logits.float().softmax(-1)[:, 1] for m in (model, low))
moved = (p32 - p16).abs()
print(f"same class: {int(((p32 > 0.5) == (p16 > 0.5)).sum())} of {len(p32)}")
print(f"probability moves by up to {moved.max():.3f}")

# %% sizes values
parameters = model.num_parameters()
print(f"parameters = {parameters}")
print(f"third = {logits[2].softmax(-1)[0]:.3f}")  # tolerance 5%
print(f"head_parameters = {sum(p.numel() for p in model.classifier.parameters())}")
print(f"moved = {moved.max():.3f}")  # tolerance 60%
print(f"training_gigabytes_base = {16 * 102_267_648 / 1e9:.1f}")
