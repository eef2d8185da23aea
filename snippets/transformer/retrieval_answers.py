# %% setup
import json
import re

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file
from transformers.utils import logging

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.plotting import bars, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import table
from llm_tutorial.transformer.grounded import (
    cited,
    contains,
    invented,
    names_of,
    refuses,
    unsupported,
)
from llm_tutorial.transformer.question_answering import interval
from llm_tutorial.transformer.quoting import offered_sentences
from llm_tutorial.transformer.retrieval import (
    BM25,
    corpus,
    embed,
    questions,
    searched,
)

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
}  # of each question, the passages in the prompt
free = {
    name: {
        at: said.split("\n\n")[0]  # what follows is no longer the answer
        for at, said in zip(chosen, recorded[f"replies, {name}"]["said"], strict=True)
    }
    for name, chosen in reads.items()
}
likeliest, closest = (
    dict(zip(answerable, recorded["quotes"][key], strict=True))
    for key in ("likeliest", "closest")
)  # of each question, the best sentence of each passage with its score
spans = [text for text, _ in recorded["spans, best"]["spans"]]


def sentences_of(at):
    """Of the passage found, each with the heading before it, as they were judged."""
    return offered_sentences([texts[reads["best"][at][0]]])


def by_words(at):
    offered = sentences_of(at)
    scores = BM25([read for _, _, read in offered]).scores(asked[at].question)
    return offered[int(scores.argmax())][0]


methods = {
    "from memory": free["memory"],
    "own words": free["best"],
    "own words, right passage": free["right"],
    "trained reader": dict(enumerate(spans)),
    "first sentence": {at: sentences_of(at)[0][0] for at in answerable},
    "sentence by BM25": {at: by_words(at) for at in answerable},
    "sentence by MiniLM": {at: found[0][0] for at, found in closest.items()},
    "sentence by SmolLM2": {at: found[0][0] for at, found in likeliest.items()},
    "the whole passage": {at: texts[places[0]] for at, places in reads["best"].items()},
}
contained = {
    name: [100.0 * contains(said[at], asked[at].answer) for at in answerable]
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

# %% by_hand
read_by_hand = answerable[1::4]
yes_or_no = {9, 29, 37, 117, 121, 185, 193, 209, 221}
right_by_hand = {
    "from memory": {29, 37, 185, 193, 209, 221, 237},
    "own words": {1, 29, 37, 45, 93, 177, 181, 185, 189, 193, 209, 221, 233, 237},
    "sentence by SmolLM2": {1, 9, 17, 21, 29, 33, 41, 69, 93, 97, 105, 117, 129, 145,
                            149, 177, 181, 197, 209, 213, 221},
}  # fmt: skip
others = [at for at in read_by_hand if at not in yes_or_no]
rows = {
    name: [len(places), len(places - yes_or_no)]
    for name, places in right_by_hand.items()
}
counts = [f"of {len(read_by_hand)}", f"of the {len(others)} not “yes or no”"]
table(rows, ["right in meaning", *counts]).show()
print(asked[29].question, "\n  own words:", free["best"][29])
print(asked[185].question, "\n  quoted:", likeliest[185][0][0])

# %% made_up
known = names_of(texts)


def support(name, at):
    """What may stand behind a reply: the question, what was read or what answers."""
    return [asked[at].question, *(texts[p] for p in reads[name][at] or right[at])]


def made_up(name, said):
    """Of each answerable question, in percent: words without support, unknown names."""
    words = [100 * unsupported(said[at], support(name, at)) for at in answerable]
    names = [
        100.0 * bool(invented(said[at], known | names_of([asked[at].question])))
        for at in answerable
    ]
    return words, names


rows = {
    name: [f"{mean(values):.0f}" for values in made_up(key, free[key])]
    for name, key in zip(methods, ("memory", "best", "right"), strict=False)
}
table(rows, ["", "unsupported words, %", "replies with an unknown name, %"]).show()

# %% nothing_fits
for at in (without[12], without[22]):
    print(f"{asked[at].question}\n  {free['best'][at]}")

# %% similarity_values values
vectors = load_file(folder / "passages.safetensors")["passages"].float()
queries = embed(
    load_encoder("minilm"), load_tokenizer("minilm"), [q.question for q in asked]
)
highest = (queries @ vectors.T).max(1).values  # cosine of the nearest passage


def area(yes, no):
    """How often a question with an answer has the nearer passage."""
    return (yes[:, None] > no).float().mean().item()


refused = sum(refuses(free["best"][at]) for at in answerable)
yes, no = highest[answerable], highest[without]
same_cost = yes.sort().values[refused]  # refuses as many of the answerable
print(f"area = {area(yes, no):.2f}")  # tolerance 5%
print(f"by_cosine = {(no < same_cost).sum().item()}")  # tolerance 30%
print(f"lost_for_half = {100 * (yes < no.median()).float().mean():.0f}")
groups = {name: [at for at, t in enumerate(topics) if t == name] for name in topics}
answered = torch.tensor([bool(question.answer) for question in asked])
said_so = torch.tensor([refuses(free["best"][at]) for at in range(len(asked))])
generator = torch.Generator().manual_seed(0)
areas, gaps = [], []
for _ in range(2000):
    drawn = torch.randint(len(groups), (len(groups),), generator=generator)
    names = [*groups]
    rows = torch.tensor([at for one in drawn.tolist() for at in groups[names[one]]])
    score, has, refusal = highest[rows], answered[rows], said_so[rows]
    areas.append(area(score[has], score[~has]))
    level = score[has].sort().values[int(refusal[has].sum())]
    gap = (score[~has] < level).float().mean() - refusal[~has].float().mean()
    gaps.append(100 * gap.item())
for key, values in (("area", areas), ("gap", gaps)):
    ends = torch.tensor(values).quantile(torch.tensor([0.025, 0.975]))
    for part, value in zip(("low", "high"), ends, strict=True):
        print(f"{key}_{part} = {value:.2f}")  # tolerance 30%

# %% numbers values
keys = (
    "memory", "found", "right", "reader", "first", "words", "closest", "likeliest",
    "passage",
)  # fmt: skip
key_of = dict(zip(methods, keys, strict=True))
for name, key in key_of.items():
    print(f"{key}_contains = {mean(contained[name]):.1f}")
    length = mean(len(methods[name][at].split()) for at in answerable)
    print(f"{key}_length = {length:.0f}")
by_chance = mean(
    mean(contains(text, asked[at].answer) for text, _, _ in sentences_of(at))
    for at in answerable
)
print(f"random_contains = {100 * by_chance:.1f}")


def moved(key, gap, places, form=".1f"):
    found = interval(gap, [topics[at] for at in places])
    for part, value in zip(("mean", "low", "high"), found, strict=True):
        print(f"{key}_{part} = {value:{form}}")


for one, other in (
    ("own words", "from memory"),
    ("own words, right passage", "own words"),
    ("sentence by SmolLM2", "own words"),
    ("sentence by SmolLM2", "sentence by MiniLM"),
    ("sentence by SmolLM2", "sentence by BM25"),
):
    gap = [a - b for a, b in zip(contained[one], contained[other], strict=True)]
    moved(f"{key_of[one]}_{key_of[other]}", gap, answerable)

whole = recorded["replies, best"]["said"]
print(f"asked = {len(asked)}")
stopped = [said for said in whole if "\n\n" not in said]
ended = re.compile(r"[.!?][\"'`)\]]?$|\[\d\]$")
print(f"goes_on = {len(whole) - len(stopped)}")
print(f"unended = {sum(not ended.search(said) for said in stopped)}")

half = [at for at in answerable if at in reads["three"]]
three = [100.0 * contains(free["three"][at], asked[at].answer) for at in half]
one = [100.0 * contains(free["best"][at], asked[at].answer) for at in half]
moved("three_best", [a - b for a, b in zip(three, one, strict=True)], half)
best_of = {at: max(likeliest[at], key=lambda pair: pair[1])[0] for at in half}
three = [100.0 * contains(best_of[at], asked[at].answer) for at in half]
one = [100.0 * contains(likeliest[at][0][0], asked[at].answer) for at in half]
moved("three_quoted", [a - b for a, b in zip(three, one, strict=True)], half)

print(f"by_hand = {len(read_by_hand)}")
print(f"others = {len(others)}")
adds_something, false = {29, 185, 193, 221}, {29, 193}  # of the right replies
assert false < adds_something < right_by_hand["own words"] <= set(read_by_hand)
print(f"adds_something = {len(adds_something)}")
print(f"adds_false = {len(false)}")
pairs = {
    "own": ("own words", "from memory"),
    "quote": ("sentence by SmolLM2", "own words"),
}
for name, key in zip(right_by_hand, ("memory", "best", "likeliest"), strict=True):
    print(f"{key}_by_hand = {len(right_by_hand[name])}")
    print(f"{key}_others = {len(right_by_hand[name] - yes_or_no)}")
for key, (one, other) in pairs.items():
    one, other = right_by_hand[one], right_by_hand[other]
    for kind, places in (("by_hand", read_by_hand), ("others", others)):
        gap = [100.0 * (at in one) - 100.0 * (at in other) for at in places]
        moved(f"{kind}_{key}", gap, places, ".0f")

found = {name: made_up(name, free[name]) for name in ("memory", "best", "right")}
for name, (words, names) in found.items():
    print(f"{name}_words = {mean(words):.1f}")
    print(f"{name}_names = {mean(names):.1f}")
    said = [refuses(free[name][at]) for at in answerable]
    print(f"{name}_refused = {sum(said)}")
    print(f"{name}_refused_share = {100 * mean(said):.0f}")
    print(f"{name}_refused_without = {sum(refuses(free[name][at]) for at in without)}")
for at, key in enumerate(("words", "names")):
    pair = zip(found["memory"][at], found["best"][at], strict=True)
    moved(f"{key}_fell", [a - b for a, b in pair], answerable)
whole = {
    name: made_up(name, recorded[f"replies, {name}"]["said"])
    for name in ("memory", "best")
}  # all that the model said
pair = zip(whole["memory"][0], whole["best"][0], strict=True)
moved("whole_words_fell", [a - b for a, b in pair], answerable)
print(f"whole_names = {mean(whole['best'][1]):.1f}")
print(f"without = {len(without)}")
print(f"answerable = {len(answerable)}")

print(f"cite_one = {sum(bool(cited(said)) for said in free['best'].values())}")
print(f"cite_three = {sum(bool(cited(said)) for said in free['three'].values())}")
print(f"three = {len(free['three'])}")
there = [at for at in half if set(reads["three"][at]) & set(right[at])]
print(f"there = {len(there)}")


def source(sentences):
    scores = [score for _, score in sentences]
    return scores.index(max(scores))


chosen = [reads["three"][at][source(likeliest[at])] in right[at] for at in there]
first = [reads["three"][at][0] in right[at] for at in there]
print(f"source_right = {100 * mean(chosen):.0f}")
print(f"first_right = {100 * mean(first):.0f}")
gap = [100.0 * (one - other) for one, other in zip(chosen, first, strict=True)]
moved("source", gap, there)

prompts = {
    name: results("transformer", "retrieval")["metrics"][f"prompt, {name}"]
    for name in ("plain", "rules", "shown")
}
for name, found in prompts.items():
    print(f"prompt_{name} = {100 * mean(found['f1']):.1f}")
shown = prompts["shown"]
print(f"prompt_questions = {len(shown['f1'])}")
pairs = [*zip(shown["refused"], shown["answerable"], strict=True)]
print(f"prompt_refused = {sum(refused for refused, answer in pairs if not answer)}")
print(f"prompt_without = {sum(not answer for _, answer in pairs)}")
