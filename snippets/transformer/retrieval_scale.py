# %% setup
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import label_lines, panels, use_style, verbatim
from llm_tutorial.results import results, weights
from llm_tutorial.transformer.question_answering import interval
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
index = BM25([searched(passage) for passage in passages], k1, b)
vectors = load_file(weights("transformer", "retrieval") / "passages.safetensors")
vectors = vectors["passages"].float()
queries = embed(
    load_encoder("minilm"), load_tokenizer("minilm"), [q.question for q in asked]
)
words = [index.scores(question.question) for question in asked]
cosines = queries @ vectors.T  # (208, 2158)
rankings = [
    (ranked(one), ranked(other)) for one, other in zip(words, cosines, strict=True)
]


def reciprocal(rankings):
    ranks = [first_rank(*pair) for pair in zip(rankings, right, strict=True)]
    return sum(1 / rank for rank in ranks) / len(ranks)


by_rank = {
    k: reciprocal([fuse(pair, float(k)) for pair in rankings])
    for k in metrics["fusion"]["k"]
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
    axes.plot(x, [*metrics["fusion"][key].values()], label="sentences")
    axes.plot(x, [*found.values()], label="questions")
    axes.set(ylabel="MRR", ylim=(0.3, 0.8))
left.set_xscale("symlog", linthresh=1)
left.set(xlabel="c, by rank", xlim=(0, 1000))
right_axes.set(xlabel="α, by score", xlim=(0, 1))
for axes in (left, right_axes):
    label_lines(axes)
plt.show()


# %% bm25_settings
mrr = metrics["BM25"]["mrr"]
figure, (axes,) = panels(1)
for row in ("0.3", "1.6", "4.0"):
    found = {name.split()[1]: v for name, v in mrr.items() if name.split()[0] == row}
    axes.plot([*map(float, found)], [*found.values()], label=f"k₁ = {float(row):g}")
axes.set(xlabel="b", ylabel="MRR", xlim=(0, 1))
label_lines(axes)
verbatim(axes.texts)
plt.show()


# %% chunk_lengths
def read_within(name, tokens):
    """Of each question, whether the answer is in the first tokens that are read."""
    read = metrics[f"chunks, {name}"]["read"]["both"]
    return [100.0 * (0 < upto <= tokens) for upto in read]


figure, (axes,) = panels(1)
budgets = range(50, 1601, 50)
for name, label in (
    ("250", "250 characters"),
    ("passages", "passages"),
    ("2000, window 512", "2,000 characters"),
):
    shares = [sum(read_within(name, most)) / len(asked) for most in budgets]
    axes.plot(budgets, shares, label=label, marker="")
axes.set(xlabel="tokens read", ylabel="answer was among them, %")
axes.set(xlim=(50, 1600), ylim=(0, 100))
label_lines(axes)
plt.show()

# %% save
exact = cosines.topk(10).indices
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "index.safetensors")
    save_file(
        {"passages": vectors.half()}, file, {"encoder": "minilm", "tokens": "256"}
    )
    again = load_file(file)["passages"].float()
    size = file.stat().st_size
assert torch.equal((queries @ again.T).topk(10).indices, exact)
print(f"{size / len(vectors):.0f} bytes a passage")

# %% cells
CELLS = 46  # near the root of the number of passages
centres = vectors[torch.randperm(len(vectors))[:CELLS]]
for _ in range(10):  # k-means on the sphere
    cell = (vectors @ centres.T).argmax(1)
    centres = normalize(
        torch.stack([vectors[cell == at].sum(0) for at in range(CELLS)]), dim=-1
    )
cell = (vectors @ centres.T).argmax(1)  # of each passage
curve = []
for probed in (1, 2, 4, 8, 16, 32, CELLS):
    opened = (queries @ centres.T).topk(probed).indices  # (208, probed)
    seen = (cell[None, :, None] == opened[:, None]).any(-1)  # (208, 2158)
    near = cosines.masked_fill(~seen, -torch.inf).topk(10).indices
    same = (near[..., None] == exact[:, None]).any(-1) & seen.gather(1, near)
    curve.append((100 * seen.float().mean().item(), 100 * same.float().mean().item()))
assert curve[-1] == (100, 100)

# %% cells_curve
figure, (axes,) = panels(1)
axes.plot(*zip(*curve, strict=True))
axes.set(
    xlabel="passages compared, %", ylabel="of the true ten nearest, %", ylim=(0, 105)
)
plt.show()

# %% numbers values
print(f"bm25_test = {reciprocal([pair[0] for pair in rankings]):.3f}")  # tolerance 2%
usual = BM25([searched(passage) for passage in passages])
usual = reciprocal([usual.search(question.question) for question in asked])
print(f"bm25_test_usual = {usual:.3f}")
for key, found in (("rank", by_rank), ("score", by_score)):
    print(f"{key}_lowest = {min(found.values()):.3f}")  # tolerance 2%
    print(f"{key}_highest = {max(found.values()):.3f}")  # tolerance 2%
print(f"rank_60 = {by_rank['60']:.3f}")  # tolerance 2%
eight = curve[3]
print(f"compared = {eight[0]:.0f}")  # tolerance 20%
print(f"agreed = {eight[1]:.0f}")  # tolerance 10%
print(f"bytes = {2 * vectors.shape[1]}")
print(f"million = {1e6 * 2 * vectors.shape[1] / 1e9:.2f}")
topics = [passages[min(places)].topic for places in right]
for tokens in (200, 800):
    for one, other in (("250", "passages"), ("passages", "2000, window 512")):
        pair = zip(read_within(one, tokens), read_within(other, tokens), strict=True)
        moved = interval([a - b for a, b in pair], topics)
        for part, value in zip(("mean", "low", "high"), moved, strict=True):
            print(f"from_{one}_{tokens}_{part} = {value:.1f}")
