# %% setup
import json

import jieba
import torch
from safetensors.torch import load_file
from torch import nn

from llm_tutorial.cnn.ngrams import contributions, strongest
from llm_tutorial.cnn.text_cnn import TextCNN, encode, logits_of
from llm_tutorial.data.reviews import reviews
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table

torch.manual_seed(0)
jieba.setLogLevel("WARNING")
folder = weights("cnn", "text")
words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
numbers = {word: number for number, word in enumerate(words)}
model = TextCNN(len(words))
state = load_file(folder / "model.safetensors")
model.load_state_dict({name: value.float() for name, value in state.items()})
_ = model.eval()

# %% ngrams
found = reviews("validation")
texts = [jieba.lcut(review.text) for review in found]
rows = [encode(text, numbers, at_least=4) for text in texts]
top = [
    filter_
    for layer in model.convolutions
    for filter_ in strongest(model, layer, texts, rows, count=4)
]  # for each of the 96 filters its four strongest n-grams
pull = model.classifier.weight[1] - model.classifier.weight[0]  # (96,) to positive
order = pull.argsort(descending=True).tolist()

# %% ngrams_table
shown = {
    f"{f}": [
        f"{pull[f].item():+.2f}",
        "  ".join("|".join(n.tokens) for n in top[f][:3]),
    ]
    for f in (*order[:4], *order[-4:])
}
table(shown, ["filter", "pull", "n-grams"]).show()

# %% meaning
features = torch.cat([model.features(torch.tensor([row])) for row in rows]).detach()
labels = torch.tensor([review.label for review in found]).double()
right = (model.classifier(features).argmax(-1) == labels).double().mean().item()
recorded = results("cnn", "text")["metrics"]["TextCNN, words, seed 0"]
assert abs(right - recorded["validation_accuracy"]) < 0.005  # in 16 bits, too
fired = features.topk(100, dim=0).indices  # (100, 96) reviews that fire each most
share = labels[fired].mean(0)  # positive ones among them
agree = torch.corrcoef(torch.stack([pull.double().detach(), share]))[0, 1].item()
assert share[order[:4]].min() > 0.5 > share[order[-4:]].max()

# %% meaning_values values tolerance="20%"
print(f"share_positive = {100 * share[order[:4]].mean():.0f}")
print(f"share_negative = {100 * share[order[-4:]].mean():.0f}")
print(f"agree = {agree:.2f}")

# %% explain
text = jieba.lcut("书的内容很好，可是纸张太差，印刷模糊，后悔买了。")
row = encode(text, numbers, at_least=4)
parts = contributions(model, text, row)
bias = (model.classifier.bias[1] - model.classifier.bias[0]).item()
z = logits_of(model, [row])[0]
assert abs(sum(part.value for part in parts) + bias - (z[1] - z[0]).item()) < 1e-4
for part in parts[:6]:
    print(f"{part.value:+.2f}", "|".join(part.tokens))

first = text.index("印刷")  # the clause of the largest part, taken out
shorter = text[:first] + text[first + 3 :]
z_shorter = logits_of(model, [encode(shorter, numbers, at_least=4)])[0]

# %% explain_values values tolerance="20%"
print(f"largest = {abs(parts[0].value):.2f}")
print(f"whole = {z[1] - z[0]:.2f}")
print(f"deleted = {z_shorter[1] - z_shorter[0] - (z[1] - z[0]):.2f}")


# %% own
class Gapped(nn.Module):  # a model of one's own: a filter skips a word
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(model.embeddings[0].weight)
        self.skip = nn.Conv1d(64, 4, 2, dilation=2)
        self.head = nn.Linear(4, 2)

    def forward(self, ids):
        y = self.skip(self.embedding(ids).transpose(1, 2))
        return self.head(y.relu().amax(-1))


own = Gapped()
skips = strongest(own, own.skip, texts[:300], rows[:300], count=2)
print([ngram.tokens for ngram in skips[0]])
