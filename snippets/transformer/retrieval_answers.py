# %% setup
import json

import matplotlib.pyplot as plt
from safetensors.torch import load_file
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import COLOURS, bars, legend, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table
from llm_tutorial.transformer.grounded import (
    cited,
    contains,
    invented,
    names_of,
    refuses,
    unsupported,
    word_recall,
)
from llm_tutorial.transformer.question_answering import interval
from llm_tutorial.transformer.retrieval import corpus, embed, questions, searched

use_style()
logging.set_verbosity_error()
folder = weights("transformer", "retrieval")
recorded = json.loads((folder / "replies.json").read_text(encoding="utf-8"))
passages = corpus()
texts = [searched(passage) for passage in passages]
place = {passage.id: at for at, passage in enumerate(passages)}
asked = questions()
right = [[place[name] for name in question.passages] for question in asked]
topics = [passages[places[0]].topic for places in right]
answerable = [at for at, question in enumerate(asked) if question.answer]
without = [at for at, question in enumerate(asked) if not question.answer]

# %% methods
reads = {
    name: {int(at): places for at, places in chosen.items()}
    for name, chosen in recorded["passages"].items()
}
free = {
    name: dict(zip(chosen, recorded[f"replies, {name}"]["said"], strict=True))
    for name, chosen in reads.items()
}
likeliest, closest = (
    dict(zip(answerable, recorded["quotes"][key], strict=True))
    for key in ("likeliest", "closest")
)  # of each question, the best sentence of each passage with its score
spans = [text for text, _ in recorded["spans, best"]["spans"]]
methods = {
    "from memory": free["memory"],
    "passage found, own words": free["best"],
    "right passage, own words": free["right"],
    "passage found, reader": dict(enumerate(spans)),
    "passage found, closest sentence": {at: s[0][0] for at, s in closest.items()},
    "passage found, likeliest sentence": {at: s[0][0] for at, s in likeliest.items()},
    "passage found, all of it": {
        at: texts[places[0]] for at, places in reads["best"].items()
    },
}

# %% scores
contained = {
    name: [100.0 * contains(said[at], asked[at].answer) for at in answerable]
    for name, said in methods.items()
}
recall = {
    name: [100.0 * word_recall(said[at], asked[at].answer) for at in answerable]
    for name, said in methods.items()
}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


# %% picture
figure, (axes,) = panels(1)
bars(axes, [*methods], {"": [mean(contained[name]) for name in methods]})
axes.set(xlabel="contains the answer, %", xlim=(0, 100))
plt.show()

# %% table
rows = {
    name: [
        "{:.1f} [{:.1f}, {:.1f}]".format(
            *interval(contained[name], [topics[at] for at in answerable])
        ),
        f"{mean(recall[name]):.1f}",
        f"{mean(len(said[at].split()) for at in answerable):.0f}",
    ]
    for name, said in methods.items()
}
table(rows, ["", "contains the answer, %", "words of the answer, %", "length"]).show()

# %% by_hand
read_by_hand = answerable[1::4]
right_by_hand = {
    "memory": {29, 37, 185, 193, 209, 221, 237},
    "best": {1, 29, 37, 45, 93, 177, 181, 185, 189, 193, 209, 221, 233, 237},
}
for at in (37, 233):
    print(f"{asked[at].question}\n  {asked[at].answer}\n  {free['best'][at]!r}")


# %% made_up
def made_up(name):
    """In percent: words without support, replies with an unknown name, refusals."""
    said, read = free[name], reads[name]
    known = names_of(texts)
    support = {
        at: [asked[at].question, *(texts[p] for p in read[at] or right[at])]
        for at in said
    }
    return {
        "words": 100 * mean(unsupported(said[at], support[at]) for at in answerable),
        "names": 100
        * mean(
            bool(invented(said[at], known | names_of([asked[at].question])))
            for at in said
        ),
        "refused, answer": 100 * mean(refuses(said[at]) for at in answerable),
        "refused, no answer": 100 * mean(refuses(said[at]) for at in without),
    }


found = {name: made_up(name) for name in ("memory", "best", "right")}
names = {"memory": "from memory", "best": "passage found", "right": "right passage"}
rows = {names[name]: [f"{v:.1f}" for v in found[name].values()] for name in found}
columns = ["", "unsupported words, %", "unknown names, %",
           "refused if answerable, %", "refused if not, %"]  # fmt: skip
table(rows, columns).show()

# %% nothing_fits
for at in (without[12], without[22], without[32]):
    print(f"{asked[at].question}\n  {free['best'][at]}")

# %% similarity
vectors = load_file(folder / "passages.safetensors")["passages"].float()
queries = embed(
    load_encoder("minilm"), load_tokenizer("minilm"), [q.question for q in asked]
)
highest = (queries @ vectors.T).max(1).values
yes, no = highest[answerable], highest[without]
order = (yes[:, None] > no).float().mean()  # area under the curve

figure, (axes,) = panels(1)
bins = [0.2 + 0.05 * step for step in range(14)]
for values, label, colour in ((yes, "answerable", 0), (no, "unanswerable", 1)):
    share = [100 / len(values)] * len(values)
    axes.hist(values, bins=bins, weights=share, label=label, color=COLOURS[colour],
              alpha=0.6)  # fmt: skip
axes.set(xlabel="cosine of the nearest passage", ylabel="questions, %")
legend(axes)
plt.show()

# %% three
half = [at for at in answerable if at in reads["three"]]
named = {at: cited(free["three"][at]) for at in half}
good = {
    at: {n for n, p in enumerate(reads["three"][at], start=1) if p in right[at]}
    for at in half
}
there = [at for at in half if good[at]]
said = [at for at in there if named[at]]


def source(sentences):
    scores = [score for _, score in sentences]
    return scores.index(max(scores)) + 1


def share(sources):
    return f"{100 * mean(source in good[at] for at, source in sources.items()):.0f}"


rows = {
    "the model's own number": [len(said), share({at: named[at][0] for at in said})],
    "of the likeliest sentence": [
        len(there), share({at: source(likeliest[at]) for at in there})
    ],
    "of the closest sentence": [
        len(there), share({at: source(closest[at]) for at in there})
    ],
    "always the first": [len(there), share(dict.fromkeys(there, 1))],
}  # fmt: skip
table(rows, ["the passage named", "questions", "right, %"]).show()

# %% similarity_values values
print(f"area = {order:.2f}")  # tolerance 5%

# %% numbers values
keys = ("memory", "found", "right", "reader", "closest", "likeliest", "passage")
for key, name in zip(keys, methods, strict=True):
    print(f"{key}_contains = {mean(contained[name]):.1f}")
    print(f"{key}_recall = {mean(recall[name]):.1f}")
    length = mean(len(methods[name][at].split()) for at in answerable)
    print(f"{key}_length = {length:.0f}")
key_of = dict(zip(methods, keys, strict=True))
pairs = [
    ("passage found, own words", "from memory"),
    ("right passage, own words", "passage found, own words"),
    ("passage found, likeliest sentence", "passage found, own words"),
    ("passage found, likeliest sentence", "passage found, closest sentence"),
]
for one, other in pairs:
    for measure, values in (("contains", contained), ("recall", recall)):
        gap = [a - b for a, b in zip(values[one], values[other], strict=True)]
        moved = interval(gap, [topics[at] for at in answerable])
        for part, value in zip(("mean", "low", "high"), moved, strict=True):
            print(f"{key_of[one]}_{key_of[other]}_{measure}_{part} = {value:.1f}")
for name, values in found.items():
    for key, value in values.items():
        print(f"{name}_{key.replace(', ', '_').replace(' ', '_')} = {value:.1f}")
gap = [
    100.0 * contains(free["three"][at], asked[at].answer)
    - 100.0 * contains(free["best"][at], asked[at].answer)
    for at in half
]
moved = interval(gap, [topics[at] for at in half])
for part, value in zip(("mean", "low", "high"), moved, strict=True):
    print(f"three_best_{part} = {value:.1f}")
print(f"by_hand = {len(read_by_hand)}")
for name, found_right in right_by_hand.items():
    assert found_right <= set(read_by_hand)
    strict = sum(contains(free[name][at], asked[at].answer) for at in read_by_hand)
    print(f"{name}_by_hand = {len(found_right)}")
    print(f"{name}_strict = {strict}")
print(f"half = {len(half)}")
print(f"there = {len(there)}")
for key, row in zip(("cited", "likely", "close", "first"), rows.values(), strict=True):
    print(f"{key} = {row[0]}")
    print(f"{key}_right = {row[1]}")
run = results("transformer", "retrieval")
for name in ("plain", "rules", "shown"):
    print(f"prompt_{name} = {100 * mean(run['metrics'][f'prompt, {name}']['f1']):.1f}")
print(f"prompt_questions = {len(run['metrics']['prompt, plain']['f1'])}")
