# %% setup
import matplotlib.pyplot as plt
from safetensors.torch import load_file
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import label_lines, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table
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
run = results("transformer", "retrieval")
k1, b, c, alpha = (run[name] for name in ("k1", "b", "k", "alpha"))

# %% ranks
passages = corpus()
texts = [searched(passage) for passage in passages]
place = {passage.id: at for at, passage in enumerate(passages)}
asked = [question for question in questions() if question.answer]
right = [{place[name] for name in question.passages} for question in asked]
topics = [passages[min(places)].topic for places in right]

index = BM25(texts, k1, b)
vectors = load_file(weights("transformer", "retrieval") / "passages.safetensors")
vectors = vectors["passages"].float()
queries = embed(
    load_encoder("minilm"), load_tokenizer("minilm"), [q.question for q in asked]
)
names = ("BM25", "MiniLM", "plain sum of scores", "both, by rank", "both, by score")
ranks = {name: [] for name in names}
for question, query, places in zip(asked, queries, right, strict=True):
    words, cosines = index.scores(question.question), vectors @ query
    rankings = [ranked(words), ranked(cosines)]
    joined = [fuse(rankings, c), combine(words, cosines, alpha)]
    rankings += [ranked(words + cosines), *joined]
    for found, ranking in zip(ranks.values(), rankings, strict=True):
        found.append(first_rank(ranking, places))


def recall(ranks, at):
    return [100.0 * (rank <= at) for rank in ranks]


def reciprocal(ranks):
    return [1 / rank for rank in ranks]


# %% curves
figure, (axes,) = panels(1)
depths = range(1, 31)
for name in ("BM25", "MiniLM", "both, by rank"):
    curve = [sum(recall(ranks[name], at)) / len(asked) for at in depths]
    axes.plot(depths, curve, label=name, marker="")
axes.set(
    xlabel="passages read, k", ylabel="recall@k in %", xlim=(1, 30), ylim=(40, 100)
)
label_lines(axes)
plt.show()

# %% table
rows = {
    name: [
        *(f"{interval(recall(found, at), topics)[0]:.1f}" for at in (1, 3, 5, 10)),
        "{:.3f} [{:.3f}, {:.3f}]".format(*interval(reciprocal(found), topics)),
    ]
    for name, found in ranks.items()
}
table(rows, ["", "recall@1", "recall@3", "recall@5", "recall@10", "MRR"]).show()

# %% numbers values
usual = BM25(texts)
ranks["BM25, usual settings"] = [
    first_rank(usual.search(question.question), places)
    for question, places in zip(asked, right, strict=True)
]
pairs = [
    ("MiniLM", "BM25"),
    ("plain sum of scores", "BM25"),
    ("both, by rank", "MiniLM"),
    ("both, by rank", "BM25"),
    ("both, by rank", "BM25, usual settings"),
    ("both, by score", "MiniLM"),
    ("both, by score", "both, by rank"),
]


def difference(one, other, measure):
    pair = zip(measure(ranks[one]), measure(ranks[other]), strict=True)
    return interval([first - second for first, second in pair], topics)


def recall_3(ranks):
    return recall(ranks, 3)


print(f"questions = {len(asked)}")
print(f"unanswerable = {len(questions()) - len(asked)}")
print(f"topics = {len({*topics})}")
print(f"k1 = {k1:g}")
print(f"b = {b:g}")
print(f"c = {c:g}")
print(f"alpha = {alpha:g}")
keys = ("bm25", "minilm", "sum", "rank", "score", "usual")
names = dict(zip(ranks, keys, strict=True))
for name, found in ranks.items():
    for at in (1, 3, 10):
        print(
            f"{names[name]}_{at} = {sum(recall(found, at)) / len(asked):.1f}"
        )  # tolerance 2%
    print(
        f"{names[name]}_mrr = {sum(reciprocal(found)) / len(asked):.3f}"
    )  # tolerance 2%
for one, other in pairs:
    for key, measure in (("recall", recall_3), ("mrr", reciprocal)):
        values = difference(one, other, measure)
        for part, value in zip(("mean", "low", "high"), values, strict=True):
            form = ".1f" if key == "recall" else ".3f"
            print(
                f"{names[one]}_{names[other]}_{key}_{part} = {value:{form}}"
            )  # tolerance 90%
lost = sum(one > 10 for one in ranks["BM25"])
saved = sum(
    one > 10 and other <= 3
    for one, other in zip(ranks["BM25"], ranks["MiniLM"], strict=True)
)
back = sum(
    one > 10 and other <= 3
    for one, other in zip(ranks["MiniLM"], ranks["BM25"], strict=True)
)
print(f"bm25_lost = {lost}")
print(f"minilm_saves = {saved}")
print(f"bm25_saves = {back}")
print(f"minilm_lost = {sum(one > 10 for one in ranks['MiniLM'])}")
