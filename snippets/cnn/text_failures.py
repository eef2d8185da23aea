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
rows = rows_of(texts[:200])
alone = logits_of(model, rows)


def careless(ids):  # the usual code: no word of which places are padding
    x = model.embeddings[0](ids).transpose(1, 2)
    pooled = [F.relu(layer(x)).amax(-1) for layer in model.convolutions]
    return model.classifier(torch.cat(pooled, -1))


longest = max(map(len, rows))
together = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
wrong = careless(together)
moved = (wrong - alone).abs().amax(-1)
flipped = (wrong.argmax(-1) != alone.argmax(-1)).sum().item()
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
_ = rival.fit([r.text for r in train], [r.label for r in train])

# %% negation
things = "房间", "服务", "这本书", "电脑", "屏幕", "早餐"
praise = "好", "满意", "干净", "漂亮", "舒服", "方便", "实用", "精彩"
blame = "差", "贵", "吵", "脏", "慢", "旧", "难看", "麻烦"
patterns = "{}很{}", "{}不{}", "{}一点也不{}", "{}没有想象中那么{}"
shown = {}
for number, pattern in enumerate(patterns):
    negated, line = number > 0, []
    made = [
        [pattern.format(*pair) for pair in itertools.product(things, kind)]
        for kind in (praise, blame)
    ]
    for say in (positive, lambda texts: torch.tensor(rival.predict(texts))):
        for sentences, label in zip(made, (1 - negated, int(negated)), strict=True):
            line.append(100 * (say(sentences) == label).double().mean().item())
    shown[pattern.format("X", "Y")] = line
columns = ["right, %"]
columns += [f"{m}, {kind}" for m in ("TextCNN", "TF-IDF") for kind in ("好", "差")]
table(shown, columns, ".0f").show()
assert min(shown["X很Y"][:2]) > 80  # it knows the words: neither answer is always given
assert shown["X没有想象中那么Y"][0] > 80 > 40 > shown["X没有想象中那么Y"][1]

# %% negation_values values tolerance="60%"
who = "cnn_praise", "cnn_blame", "ngrams_praise", "ngrams_blame"
for name, line in zip(("very", "not", "at_all", "not_as"), shown.values(), strict=True):
    for model_and_kind, value in zip(who, line, strict=True):
        print(f"{name}_{model_and_kind} = {value:.0f}")

# %% insertion
cuts, place = [jieba.lcut(text) for text in texts[:400]], random.Random(0)


def margins(cuts):  # z1 - z0: how far to the positive side
    z = logits_of(model, [encode(cut, numbers, at_least=4) for cut in cuts])
    return z[:, 1] - z[:, 0]


places = [place.randint(0, len(cut)) for cut in cuts]
bare = [[thing, word] for thing in things for word in blame]
effect = {}
for word in ("不", "没有", "也", "那么"):
    more = [[*cut[:i], word, *cut[i:]] for cut, i in zip(cuts, places, strict=True)]
    anywhere = margins(more) - margins(cuts)
    before = margins([[x, word, y] for x, y in bare]) - margins(bare)
    effect[word] = [
        *(anywhere.mean().item(), 100 * (anywhere < 0).double().mean().item()),
        *(before.mean().item(), 100 * (before < 0).double().mean().item()),
    ]
columns = ["inserted", "anywhere", "lower, %", "before blame", "lower, %"]
table(effect, columns, [".2f", ".0f", ".2f", ".0f"]).show()
assert max(effect["不"][0], effect["没有"][0]) < -0.2 < effect["那么"][0]
assert max(effect["不"][2], effect["没有"][2]) < -0.2

# %% insertion_values values tolerance="20%"
for key, word in (("not", "不"), ("have_not", "没有"), ("also", "也"), ("so", "那么")):
    print(f"{key}_anywhere = {effect[word][0]:.2f}")
    print(f"{key}_lower = {effect[word][1]:.0f}")
    print(f"{key}_before = {effect[word][2]:.2f}")
    print(f"{key}_before_lower = {effect[word][3]:.0f}")

# %% order
shuffle = random.Random(0)


def clauses_of(text):
    return [part for part in re.split("[，。！？；,.!?;~ ]+", text) if part]


many = [n for n, text in enumerate(texts) if len(re.findall("[，。！？；]", text)) >= 4]
clauses = [clauses_of(texts[n]) for n in many]  # joined by commas, before and after
before = positive(["，".join(each) for each in clauses])
after = positive(["，".join(shuffle.sample(each, len(each))) for each in clauses])
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
filled = encode(["好"], numbers, at_least=4)  # 好 and three [UNK]
said = logits_of(model, [filled]).softmax(-1)[0, 1].item()

# %% short_values values tolerance="60%"
print(f"said = {100 * said:.0f}")
