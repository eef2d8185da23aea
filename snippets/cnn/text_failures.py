# %% setup
import itertools
import json
import random
import re

import jieba
import torch
from safetensors.torch import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.nn import functional as F

from llm_tutorial.cnn.text_cnn import TextCNN, encode, logits_of
from llm_tutorial.data.reviews import reviews
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table

torch.manual_seed(0)
torch.set_grad_enabled(False)
jieba.setLogLevel("WARNING")
folder = weights("cnn", "text")
words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
numbers = {word: number for number, word in enumerate(words)}
model = TextCNN(len(words))
state = load_file(folder / "model.safetensors")
model.load_state_dict({name: value.float() for name, value in state.items()})
model.eval()


def rows_of(texts):
    return [encode(jieba.lcut(text), numbers, at_least=4) for text in texts]


def positive(texts):  # what TextCNN says: 1 is positive
    return logits_of(model, rows_of(texts)).argmax(-1)


found = reviews("test")
texts, labels = [r.text for r in found], torch.tensor([r.label for r in found])

# %% padding
rows = rows_of(texts[:400])
alone = logits_of(model, rows)


def careless(ids):  # the usual code: no word of which places are padding
    x = model.embeddings[0](ids).transpose(1, 2)
    pooled = [F.relu(layer(x)).amax(-1) for layer in model.convolutions]
    return model.classifier(torch.cat(pooled, -1))


longest = max(map(len, rows))
together = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
moved = (careless(together) - alone).abs().amax(-1)
flipped = (careless(together).argmax(-1) != alone.argmax(-1)).sum().item()
assert (model(together) - alone).abs().max() < 1e-4  # masked: the same in any company

# %% padding_values values tolerance="30%"
print(f"moved = {100 * (moved > 0.01).double().mean():.0f}")
print(f"moved_most = {moved.max():.2f}")

# %% flipped_values values tolerance="90%"
print(f"flipped = {flipped}")

# %% ngrams_rival
tuned = results("cnn", "text")["metrics"]["TF-IDF, characters"]
vectorizer = TfidfVectorizer(
    analyzer="char", ngram_range=(1, tuned["longest"]), min_df=2, sublinear_tf=True
)
regression = LogisticRegression(C=tuned["C"], max_iter=2000)
rival = make_pipeline(vectorizer, regression)
train = reviews("train")
rival.fit([r.text for r in train], [r.label for r in train])

# %% negation
things = "房间", "服务", "这本书", "电脑", "屏幕", "早餐"
praise = "好", "满意", "干净", "漂亮", "舒服", "方便", "实用", "精彩"
patterns = {
    "{}很{}": 1,
    "{}不{}": 0,
    "{}不是很{}": 0,
    "{}一点也不{}": 0,
    "{}没有想象中那么{}": 0,
    "{}没有网上评论里说的那么{}": 0,
}
shown = {}
for pattern, label in patterns.items():
    made = [pattern.format(*pair) for pair in itertools.product(things, praise)]
    said = [positive(made), torch.tensor(rival.predict(made))]
    shown[pattern.format("X", "Y")] = [
        *(100 * (each == label).double().mean().item() for each in said)
    ]
table(shown, ["right, %", "TextCNN", "TF-IDF"], ".0f").show()

# %% negation_values values tolerance="40%"
for name, (cnn, _) in zip(
    ("plain", "near", "next", "one", "far", "farthest"), shown.values(), strict=True
):
    print(f"negation_{name} = {cnn:.0f}")

# %% order
shuffle = random.Random(0)


def shuffled(text):  # clauses in another order
    clauses = [part for part in re.split("[，。！？；,.!?;~ ]+", text) if part]
    return "，".join(shuffle.sample(clauses, len(clauses)))


many = [n for n, text in enumerate(texts) if len(re.findall("[，。！？；]", text)) >= 4]
before, after = (
    positive([texts[n] for n in many]),
    positive([shuffled(texts[n]) for n in many]),
)
right = labels[many]
kept = (before == after).double().mean().item()

pairs = [
    (f"{a}很好，但是{b}很差。", f"{b}很差，但是{a}很好。")
    for a, b in itertools.permutations(things, 2)
]
swapped = [positive(side) for side in zip(*pairs, strict=True)]
same = (swapped[0] == swapped[1]).double().mean().item()

# %% order_values values tolerance="20%"
print(f"many = {len(many)}")
print(f"order_kept = {100 * kept:.0f}")
print(f"order_before = {100 * (before == right).double().mean():.1f}")
print(f"order_after = {100 * (after == right).double().mean():.1f}")
print(f"swap_same = {100 * same:.0f}")

# %% short
for tokens in ([], ["好"]):
    try:
        model(torch.tensor([encode(tokens, numbers)]))
    except ValueError as error:
        print(error)
print(logits_of(model, [encode(["好"], numbers, at_least=4)]).argmax(-1).item())
