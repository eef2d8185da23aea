# %% setup
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.transformer.retrieval import (
    BM25,
    combine,
    corpus,
    embed,
    first_rank,
    fuse,
    questions,
    ranked,
    searched,
)

use_style()
logging.set_verbosity_error()
torch.manual_seed(0)
run = results("transformer", "retrieval")
metrics, k1, b = run["metrics"], run["k1"], run["b"]

# %% fusion_settings
passages = corpus()
place = {passage.id: at for at, passage in enumerate(passages)}
asked = [question for question in questions() if question.answer]
right = [{place[name] for name in question.passages} for question in asked]
texts = [searched(passage) for passage in passages]
index = BM25(texts, k1, b)
vectors = load_file(weights("transformer", "retrieval") / "passages.safetensors")
vectors = vectors["passages"].float()
encoder, pieces = load_encoder("minilm"), load_tokenizer("minilm")
queries = embed(encoder, pieces, [question.question for question in asked])
words = [index.scores(question.question) for question in asked]
cosines = queries @ vectors.T  # (208, 2158)
rankings = [
    (ranked(one), ranked(other)) for one, other in zip(words, cosines, strict=True)
]


def reciprocal(rankings):
    ranks = [first_rank(*pair) for pair in zip(rankings, right, strict=True)]
    return sum(1 / rank for rank in ranks) / len(ranks)


by_rank = {
    c: reciprocal([fuse(pair, float(c)) for pair in rankings])
    for c in metrics["fusion"]["k"]
}
by_score = {
    alpha: reciprocal(
        [combine(*pair, float(alpha)) for pair in zip(words, cosines, strict=True)]
    )
    for alpha in metrics["fusion"]["alpha"]
}

# %% fusion_curves
figure, (left, right_axes) = panels(2)
for axes, found, key in ((left, by_rank, "k"), (right_axes, by_score, "alpha")):
    x = [float(value) for value in found]
    axes.plot(x, [*metrics["fusion"][key].values()], label="sentences taken out")
    axes.plot(x, [*found.values()], label="test questions")
    axes.set(ylabel="MRR", ylim=(0.3, 0.8))
left.set_xscale("symlog", linthresh=1)
left.set(xlabel="c, by rank", xlim=(0, 1000))
right_axes.set(xlabel="α, by score", xlim=(0, 1))
legend(figure)
plt.show()


# %% save
made_by = {"encoder": "minilm", "tokens": "256"}
fresh = embed(encoder, pieces, texts[:100])  # float32
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "index.safetensors")
    save_file({"passages": fresh.half()}, file, made_by)
    with safe_open(file, "pt") as stored:
        if stored.metadata() != made_by:
            raise ValueError("this index was made by another encoder")
        again = stored.get_tensor("passages").float()
exact, near = ((queries @ v.T).topk(10).indices for v in (fresh, again))
same = (exact[..., None] == near[:, None]).any(-1).float().mean()
print(f"{100 * same:.1f} % of the ten nearest are the same")

# %% cells
G, g = 131, 8  # cells, near the root of 8 * 2158, and those that are searched
centres = vectors[torch.randperm(len(vectors))[:G]]
for _ in range(10):  # k-means on the sphere; an empty cell keeps no centre
    cell = (vectors @ centres.T).argmax(1)
    sums = torch.stack([vectors[cell == at].sum(0) for at in range(G)])
    centres = normalize(sums, dim=-1)
cell = (vectors @ centres.T).argmax(1)  # of each passage
opened = (queries @ centres.T).topk(g).indices  # (208, g)
seen = (cell[None, :, None] == opened[:, None]).any(-1)  # (208, 2158)
exact = cosines.topk(10).indices
agreed = seen.gather(1, exact).float().mean()  # the true ten, if their cells are open
compared = G + seen.sum(1).float().mean()
print(f"{compared:.0f} vectors compared; {100 * agreed:.0f} % of the ten nearest found")

# %% numbers values
print(f"bm25_test = {reciprocal([pair[0] for pair in rankings]):.3f}")  # tolerance 2%
usual = BM25(texts)
usual = reciprocal([usual.search(question.question) for question in asked])
print(f"bm25_test_usual = {usual:.3f}")
for key, found in (("rank", by_rank), ("score", by_score)):
    print(f"{key}_lowest = {min(found.values()):.3f}")  # tolerance 2%
    print(f"{key}_highest = {max(found.values()):.3f}")  # tolerance 2%
print(f"rank_60 = {by_rank['60']:.3f}")  # tolerance 2%
for key, found in (("rank", by_rank), ("score", by_score)):
    best = max(found, key=lambda setting: found[setting])
    print(f"{key}_best = {best}")
print(f"compared = {compared:.0f}")  # tolerance 20%
print(f"expected = {G + g * len(vectors) / G:.0f}")
print(f"agreed = {100 * agreed:.0f}")  # tolerance 10%
print(f"same = {100 * same:.1f}")  # tolerance 1%
print(f"bytes = {2 * vectors.shape[1]}")
print(f"million = {1e6 * 2 * vectors.shape[1] / 1e9:.2f}")
