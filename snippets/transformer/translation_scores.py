# %% setup
import itertools
import re
from collections import Counter

import numpy as np
import torch
from sacrebleu import corpus_chrf
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, LogitsProcessor

from llm_tutorial.data.messages import PLACEHOLDER, messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.placeholders import PlaceholderLogitsProcessor
from llm_tutorial.transformer.scores import interval, kept, resampled, score
from llm_tutorial.transformer.translation import (
    SLOTS,
    TESTS,
    TranslationMemory,
    fill_placeholders,
    number_placeholders,
    translate,
    translation_data,
)

use_style()
data = translation_data()
folder = weights("transformer", "translation")
model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)


# %% chrf
def ngrams(text, n):
    text = "".join(text.split())
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf_from_scratch(texts, references, orders=6, beta=2):
    precisions, recalls = [], []
    for n in range(1, orders + 1):
        ours = theirs = common = 0
        for text, reference in zip(texts, references, strict=True):
            a, b = ngrams(text, n), ngrams(reference, n)
            ours += a.total() if b else 0  # a reference shorter than n is left out
            theirs += b.total()
            common += (a & b).total()
        if ours and theirs:
            precisions.append(common / ours)
            recalls.append(common / theirs)
    p, r = np.mean(precisions), np.mean(recalls)
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r)


# %% memory
def memory(known, asked, longest=3):
    ngrams = {"analyzer": "char_wb", "ngram_range": (2, longest)}
    vectorizer = TfidfVectorizer(**ngrams, sublinear_tf=True)
    vectors = vectorizer.fit_transform([m.english for m in known])  # length one
    likeness = vectorizer.transform([m.english for m in asked]) @ vectors.T
    texts = []
    for row, message in zip(likeness.toarray(), asked, strict=True):
        near = known[row.argmax()]
        numbered = number_placeholders(near.chinese, near.english)
        texts.append(fill_placeholders(numbered, message.english))
    return texts


tried = {
    n: score(memory(data["train"], data["validation"], n), data["validation"])["chrf"]
    for n in (2, 3, 4, 5)
}
print({n: round(value, 1) for n, value in tried.items()})
longest = max(tried, key=tried.get)
remembered = {test: memory(data["train"], data[test], longest) for test in TESTS}
for test, texts in remembered.items():
    references = [m.chinese for m in data[test]]
    ours, theirs = (
        chrf_from_scratch(texts, references),
        corpus_chrf(texts, [references]),
    )
    assert abs(ours - theirs.score) < 1e-6

# %% leakage
every = [m for split in ("train", "validation", "test") for m in messages(split)]
order = np.random.default_rng(0).permutation(len(every))
shuffled = [every[index] for index in order]
tenth = len(every) // 10
splits = {  # asked, known
    "random rows": (shuffled[:tenth], shuffled[tenth:]),
    "message": (data["message"], data["train"]),
    "catalogue": (data["catalogue"], data["train"]),
}
rows, leak = {}, {}
for name, (asked, known) in splits.items():
    english = {key_of(m.english) for m in known}
    chinese = {key_of(m.chinese) for m in known}
    finder = TranslationMemory(known, longest)
    near = [likeness >= 0.7 for _, likeness in finder.nearest(asked)]
    leak[name] = [
        100 * np.mean([key_of(m.english) in english for m in asked]),
        100 * np.mean([key_of(m.chinese) in chinese for m in asked]),
        100 * np.mean(near),
        score(finder.translate(asked), asked)["chrf"],
    ]
columns = ["", "English known, %", "Chinese known, %", "near one, %", "memory's chrF"]
table(leak, columns, ".1f").show()

# %% leakage_values values
for name, (english, chinese, near, memorys) in leak.items():
    key = name.replace(" ", "_")
    print(f"known_english_{key} = {english:.1f}")
    print(f"known_chinese_{key} = {chinese:.1f}")
    print(f"near_{key} = {near:.0f}")
    print(f"memory_chrf_{key} = {memorys:.1f}")

# %% systems
runs = results("transformer", "translation")
seeds = {
    (variant, way): by_seed(runs, f"{variant} {way}")
    for variant in ("plain", "smoothed")
    for way in ("greedy", "beam", "constrained")
}
MEASURES = ("chrf", "bleu", "placeholders")
by_memory = {test: score(remembered[test], data[test]) for test in TESTS}
tables = {}
for test in TESTS:
    tables[test] = {"memory": [f"{by_memory[test][m]:.1f}" for m in MEASURES]}
    for (variant, way), found in seeds.items():
        tables[test][f"{variant}, {way}"] = [
            over_seeds([run[test][measure] for run in found]) for measure in MEASURES
        ]
table(tables["message"], ["message", "chrF", "BLEU", "placeholders, %"]).show()
table(tables["catalogue"], ["catalogue", "chrF", "BLEU", "placeholders, %"]).show()

# %% systems_values values
for test in TESTS:
    for measure in MEASURES:
        print(f"{measure}_memory_{test} = {by_memory[test][measure]:.1f}")
    for (variant, way), found in seeds.items():
        for measure in (*MEASURES, "exact"):
            values = [run[test][measure] for run in found]
            print(f"{measure}_{variant}_{way}_{test} = {np.mean(values):.1f}")
            print(f"{measure}_{variant}_{way}_{test}_low = {min(values):.1f}")
            print(f"{measure}_{variant}_{way}_{test}_high = {max(values):.1f}")
for variant in ("plain", "smoothed"):
    chosen = [run["length_penalty"] for run in seeds[variant, "beam"]]
    print(f"penalty_{variant}_low = {min(chosen)}")
    print(f"penalty_{variant}_high = {max(chosen)}")

# %% bootstrap


def over(ours, theirs):  # how far apart two systems are, in paired draws
    gaps = np.subtract(ours, theirs)
    return (gaps.mean(), *interval(gaps))


draws = {}
for test in TESTS:
    draws["memory", test] = resampled(remembered[test], data[test])
    for variant in ("plain", "smoothed"):
        each = [run[f"{test} draws"] for run in seeds[variant, "beam"]]
        draws[variant, test] = np.mean(each, axis=0)  # over seeds
rows = {}
for name, other in (("smoothed", "memory"), ("smoothed", "plain")):
    for test in TESTS:
        mean, low, high = over(draws[name, test], draws[other, test])
        rows[f"{name} over {other}, {test}"] = [
            f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        ]
table(rows, ["", "chrF gained"]).show()

# %% bootstrap_values values
for name, other in (("smoothed", "memory"), ("smoothed", "plain")):
    for test in TESTS:
        mean, low, high = over(draws[name, test], draws[other, test])
        print(f"gain_{name}_over_{other}_{test} = {mean:.1f}")
        print(f"gain_low_{name}_over_{other}_{test} = {low:.1f}")
        print(f"gain_high_{name}_over_{other}_{test} = {high:.1f}")
        print(f"lack_{name}_to_{other}_{test} = {-mean:.1f}")

# %% near_and_far differs="text near a tie" tolerance="10%"
texts = {test: translate(model, tokenizer, data[test]) for test in TESTS}
finder = TranslationMemory(data["train"], longest)
asked = [m for test in TESTS for m in data[test]]
written = [text for test in TESTS for text in texts[test]]
copied = finder.translate(asked)
likeness = np.array([value for _, value in finder.nearest(asked)])
edges = [0, 0.3, 0.45, 0.6, 1.01]
near = {}
for low, high in itertools.pairwise(edges):
    chosen = np.flatnonzero((low <= likeness) & (likeness < high))
    part = [asked[i] for i in chosen]
    near[f"{low:.2f} to {min(high, 1):.2f}"] = [
        len(part),
        score([copied[i] for i in chosen], part)["chrf"],
        score([written[i] for i in chosen], part)["chrf"],
    ]
table(
    near, ["likeness", "messages", "memory", "encoder–decoder"], [",", ".1f", ".1f"]
).show()

# %% language_model
language_model = results("transformer", "translation_lm")
names = {"as it is": "SmolLM2", "LoRA": "SmolLM2, LoRA"}
sample, sampled = {}, {test: data[test][::10] for test in TESTS}
for test in TESTS:
    draws["sampled memory", test] = resampled(remembered[test][::10], sampled[test])
    sample["memory", test] = score(remembered[test][::10], sampled[test])
    each = [run[f"{test} sample draws"] for run in seeds["smoothed", "beam"]]
    draws["sampled smoothed", test] = np.mean(each, axis=0)
    for run, name in names.items():
        draws[f"sampled {name}", test] = language_model["metrics"][run][
            f"{test}, sample draws"
        ]
        sample[name, test] = language_model["metrics"][run][f"{test}, sample"]
rows = {}
for name in ("memory", "smoothed", "SmolLM2", "SmolLM2, LoRA"):
    rows[name] = []
    for test in TESTS:
        low, high = interval(draws[f"sampled {name}", test])
        if name == "smoothed":
            found = [run[f"{test} sample"] for run in seeds[name, "beam"]]
        else:
            found = [sample[name, test]]
        chrf_, right = (
            over_seeds([f[m] for f in found]) for m in ("chrf", "placeholders")
        )
        rows[name] += [
            f"{np.mean([f['chrf'] for f in found]):.1f} [{low:.1f}, {high:.1f}]",
            right,
        ]
columns = ["one in ten", "message: chrF", "placeholders, %"]
table(rows, [*columns, "catalogue: chrF", "placeholders, % "]).show()

# %% language_model_values values
for test in TESTS:
    print(f"sampled_{test} = {len(sampled[test])}")
    for name in ("memory", "smoothed", "SmolLM2", "SmolLM2, LoRA"):
        key = name.lower().replace(", ", "_")
        if name == "smoothed":
            found = [run[f"{test} sample"] for run in seeds[name, "beam"]]
        else:
            found = [sample[name, test]]
        for measure in ("chrf", "placeholders", "exact"):
            value = np.mean([each[measure] for each in found])
            print(f"{measure}_sampled_{key}_{test} = {value:.1f}")
    for other in ("memory", "smoothed"):
        ours = draws["sampled SmolLM2, LoRA", test]
        mean, low, high = over(ours, draws[f"sampled {other}", test])
        print(f"lora_over_{other}_{test} = {mean:.1f}")
        print(f"lora_low_over_{other}_{test} = {low:.1f}")
        print(f"lora_high_over_{other}_{test} = {high:.1f}")
print(f"tokens_per_character = {language_model['tokens_per_character']:.2f}")


# %% keep
class KeepPlaceholders(LogitsProcessor):
    def __init__(self, tokenizer, english, max_length):
        self.max_length, self.end = max_length, tokenizer.eos_token_id
        self.slots = torch.tensor(tokenizer.convert_tokens_to_ids(list(SLOTS)))
        wanted = [[] for _ in english]
        for text, row in zip(english, wanted, strict=True):
            counts = Counter(PLACEHOLDER.findall(text))  # in order of appearance
            row += [*counts.values(), *[0] * len(SLOTS)][: len(SLOTS)]
        self.wanted = torch.tensor(wanted)  # (sentence, slot)
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.foreign = torch.tensor(["%" in t or "{" in t for t in tokens])

    def __call__(self, input_ids, scores):  # (row, written), (row, vocabulary)
        beams = len(input_ids) // len(self.wanted)
        written = (input_ids[:, :, None] == self.slots).sum(1)  # (row, slot)
        missing = self.wanted.repeat_interleave(beams, 0) - written
        left = missing.sum(1, keepdim=True)
        room = self.max_length - input_ids.shape[1]
        forbidden = self.foreign | (left + 1 >= room)  # (row, vocabulary)
        forbidden[:, self.slots] = missing <= 0
        forbidden[:, self.end] = left[:, 0] > 0
        return scores.masked_fill(forbidden, -torch.inf)


# %% always differs="text near a tie" tolerance="10%"
some = [m for test in TESTS for m in data[test] if PLACEHOLDER.search(m.english)]
free = translate(model, tokenizer, some)
bound = translate(model, tokenizer, some, processor=KeepPlaceholders)
assert all(kept(text, m.english) for text, m in zip(bound, some, strict=True))
library = translate(model, tokenizer, some, processor=PlaceholderLogitsProcessor)
numbers = [bool(re.search(r"%\d", m.english)) for m in some]
assert all(
    a == b for a, b, number in zip(bound, library, numbers, strict=True) if not number
)
share = np.mean([kept(text, m.english) for text, m in zip(free, some, strict=True)])
print(
    f"{len(some)} messages with placeholders, kept in {share:.0%}; constrained in all"
)
broken = [i for i, m in enumerate(some) if not kept(free[i], m.english)]
for i in broken[:: len(broken) // 3][:3]:
    print(some[i].english, "|", free[i], "|", bound[i])

# %% always_values values
print(f"kept_free = {100 * share:.0f}")  # tolerance 20%
print(f"with_placeholders = {len(some)}")
for name, (count, memorys, models) in near.items():
    key = name.replace(" ", "_").replace(".", "")
    print(f"near_count_{key} = {count}")
    print(f"near_memory_{key} = {memorys:.1f}")  # tolerance 10%
    print(f"near_model_{key} = {models:.1f}")  # tolerance 10%
