# %% setup
import json

import jieba
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from llm_tutorial.batching import batches
from llm_tutorial.cnn.text_cnn import (
    Encoded,
    TextCNN,
    counted_vectors,
    encode,
    logits_of,
    pad,
    vocabulary,
)
from llm_tutorial.data.reviews import reviews
from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, heatmap, panels, use_style, verbatim
from llm_tutorial.results import weights
from llm_tutorial.tables import table
from llm_tutorial.training import linear_decay

use_style()
torch.manual_seed(0)
jieba.setLogLevel("WARNING")

# %% load
folder = weights("cnn", "text")
words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
numbers = {word: number for number, word in enumerate(words)}
model = TextCNN(len(words))  # 32 filters each of 2, 3 and 4 words, max pooling
state = load_file(folder / "model.safetensors")
model.load_state_dict({name: value.float() for name, value in state.items()})
model.eval()

review = jieba.lcut("房间很干净，早餐也不错，就是晚上有点吵。")
row = encode(review, numbers, at_least=4)
positive = logits_of(model, [row]).softmax(-1)[0, 1].item()

# %% load_values values tolerance="20%"
print(f"positive = {positive:.2f}")
size = (folder / "model.safetensors").stat().st_size
print(f"megabytes = {size / 1e6:.1f}")

# %% picture
responses, names = [], []
for region, (y, _) in zip(model.regions, model.maps(torch.tensor([row])), strict=True):
    y = y.detach().relu()
    best = y[0].max(-1).values.topk(2).indices  # the two filters that fire most
    for filter_ in best.tolist():
        values = y[0, filter_]
        responses.append(F.pad(values / values.max(), (0, region - 1)).tolist())
        names.append(f"{region} words")
figure, (axes,) = panels(height=2.6)
heatmap(axes, responses, names, review, limits=(0, 1))
verbatim(axes.get_xticklabels())
axes.tick_params(axis="x", rotation=60)
for line, (values, name) in enumerate(zip(responses, names, strict=True)):
    start, width = values.index(1.0), int(name.split()[0])
    axes.plot(
        [start - 0.45, start + width - 0.55, start + width - 0.55, start - 0.45,
         start - 0.45],
        [line - 0.42, line - 0.42, line + 0.42, line + 0.42, line - 0.42],
        color=COLOURS[1], marker="",
    )  # fmt: skip

# %% chain
diagram = Diagram(width=24, height=17)
boxes = [
    diagram.box(12, 15.6, ["n tokens"], width=12),
    diagram.box(12, 12.6, ["embedding", "n × D"], width=12),
    diagram.box(4, 9, ["2 tokens", "m filters"], width=6.6, colour=COLOURS[0]),
    diagram.box(12, 9, ["3 tokens", "m filters"], width=6.6, colour=COLOURS[0]),
    diagram.box(20, 9, ["4 tokens", "m filters"], width=6.6, colour=COLOURS[0]),
    diagram.box(
        12, 5, ["maximum over the text", "F = 3m"], width=12, colour=COLOURS[1]
    ),
    diagram.box(12, 1.6, ["dropout, linear layer", "2 logits"], width=12),
]
diagram.arrow(boxes[0], boxes[1])
for side in boxes[2:5]:
    diagram.arrow(boxes[1].side("bottom"), side.side("top"))
    diagram.arrow(side.side("bottom"), boxes[5].side("top"))
diagram.arrow(boxes[5], boxes[6])


# %% definition
def text_cnn(x, filters, biases, W, b):  # x: (tokens, width), one text
    pooled = []
    for w, bias in zip(filters, biases, strict=True):  # w: (region, width), one filter
        places = range(len(x) - len(w) + 1)
        c = [F.relu((w * x[i : i + len(w)]).sum() + bias) for i in places]
        pooled.append(max(c))  # is it there, somewhere?
    return W @ torch.stack(pooled) + b  # (classes,)


# %% same
x = model.embeddings[0].weight[row]  # (tokens, width)
filters = [w.T for layer in model.convolutions for w in layer.weight]
biases = [bias for layer in model.convolutions for bias in layer.bias]
with torch.no_grad():
    by_hand = text_cnn(
        x, filters, biases, model.classifier.weight, model.classifier.bias
    )
    library = model(torch.tensor([row]))[0]
assert by_hand.allclose(library, atol=1e-5)

# %% gradient
responses = model.maps(torch.tensor([row]))[0][0]  # (1, 32, places), two words each
f = responses[0].amax(-1).argmax()  # the filter that fires most
w, bias = filters[f].detach(), biases[f].detach()
x = x.detach().requires_grad_()
c = torch.stack([(w * x[i : i + 2]).sum() + bias for i in range(len(x) - 1)]).relu()
c.max().backward()
i = c.argmax()  # only the two tokens at the winning place learn
assert c.max() > 0 and x.grad[i : i + 2].allclose(w)
assert x.grad.abs().sum(1).count_nonzero() == 2

# %% sizes
D, m, regions, n = 64, 32, (2, 3, 4), 40  # width, filters of a size, tokens of a text
rows = {
    "embeddings": [len(words) * D, 0],
    "filters": [sum(m * (k * D + 1) for k in regions),
                sum((n - k + 1) * m * k * D for k in regions)],
    "linear layer": [2 * (len(regions) * m + 1), 2 * len(regions) * m],
}  # fmt: skip
table(rows, ["", "parameters", "multiplications"], ",").show()
assert sum(p.numel() for p in model.parameters()) == sum(r[0] for r in rows.values())

# %% units
for text in ("性价比不高", "不是很满意"):
    print(" ".join(text), "|", " ".join(jieba.cut(text)))

# %% vectors
texts = [review.text for review in reviews("train")]
known = vocabulary(texts)  # characters that occur twice or more
vectors = counted_vectors([encode(text, known) for text in texts], len(known))
like = F.normalize(vectors, dim=-1)
characters = list(known)
for character in "吵贵":
    near = (like @ like[known[character]]).topk(6).indices.tolist()
    print(*(characters[number] for number in near))

# %% training
STEPS = 100  # of 64 reviews: half a pass
examples = [
    Encoded(encode(review.text, known, at_least=4)[:256], review.label)
    for review in reviews("train")
]
small = TextCNN(len(known), vectors=vectors, dropout=0.3)
optimizer = torch.optim.AdamW(small.parameters(), lr=0.009, weight_decay=0.01)
schedule = linear_decay(optimizer, STEPS, warmup=20)
batch_at = batches(examples, 64, seed=0, pool=20)  # texts of similar length together
losses = []
for step in range(STEPS):
    batch = batch_at(step)
    logits = small(pad([each.input_ids for each in batch]))
    loss = F.cross_entropy(logits, torch.tensor([each.label for each in batch]))
    loss.backward()
    nn.utils.clip_grad_norm_(small.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    losses.append(loss.item())
held_out = reviews("validation")
said = logits_of(small, [encode(review.text, known, 4) for review in held_out])
labels = torch.tensor([review.label for review in held_out])
right = (said.argmax(-1) == labels).double().mean().item()
assert sum(losses[-20:]) < sum(losses[:20]) and right > 0.7

# %% training_values values tolerance="5%"
print(f"learned = {100 * right:.0f}")
