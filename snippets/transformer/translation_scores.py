# %% setup
import io
import itertools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from babel.messages.pofile import read_po, write_po
from sacrebleu import corpus_chrf
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, LogitsProcessor

from llm_tutorial.data.messages import PLACEHOLDER, Message, messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import label_lines, panels, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.placeholders import PlaceholderLogitsProcessor
from llm_tutorial.transformer.scores import interval, kept, resampled, score
from llm_tutorial.transformer.translation import (
    SLOTS,
    TESTS,
    TranslationMemory,
    fill_placeholders,
    keys_of,
    number_placeholders,
    translate,
    translation_data,
    without,
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
longest = max(tried, key=tried.get)  # of the n-grams, chosen on validation
remembered = {test: memory(data["train"], data[test], longest) for test in TESTS}
for test, texts in remembered.items():
    references = [m.chinese for m in data[test]]
    ours, theirs = (
        chrf_from_scratch(texts, references),
        corpus_chrf(texts, [references]),
    )
    assert abs(ours - theirs.score) < 1e-6


# %% repair
def repair(text, english):  # foreign placeholders out, missing ones to the end
    missing = Counter(PLACEHOLDER.findall(english))

    def wanted(found):
        missing.subtract([found[0]])
        return found[0] if missing[found[0]] >= 0 else ""

    text = PLACEHOLDER.sub(wanted, text)
    return text + "".join((+missing).elements())


repaired = {
    test: [repair(text, m.english) for text, m in zip(texts, data[test], strict=True)]
    for test, texts in remembered.items()
}
assert all(
    kept(text, m.english)
    for test in TESTS
    for text, m in zip(repaired[test], data[test], strict=True)
)

# %% leakage
every = [m for split in ("train", "validation", "test") for m in messages(split)]
order = np.random.default_rng(0).permutation(len(every))
shuffled = [every[index] for index in order]
tenth = len(every) // 10
asked, known = shuffled[:tenth], shuffled[tenth:]
splits = {  # asked, known
    "random": (asked, known),
    "random, cleaned": (asked, without(keys_of(asked), known)),
    "message": (data["message"], data["train"]),
    "catalogue": (data["catalogue"], data["train"]),
}
leak = {}
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
    key = name.replace(", ", "_")
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
MEASURES = ("chrf", "bleu", "exact", "placeholders")
by_memory = {
    (name, test): score(texts[test], data[test])
    for name, texts in (("memory", remembered), ("memory, repaired", repaired))
    for test in TESTS
}
tables = {}
for test in TESTS:
    tables[test] = {
        name: [f"{by_memory[name, test][m]:.1f}" for m in MEASURES]
        for name in ("memory", "memory, repaired")
    }
    for (variant, way), found in seeds.items():
        tables[test][f"{variant}, {way}"] = [
            over_seeds([run[test][measure] for run in found]) for measure in MEASURES
        ]
for test in TESTS:
    table(tables[test], [test, "chrF", "BLEU", "exact, %", "placeholders, %"]).show()

# %% systems_values values
for test in TESTS:
    for name in ("memory", "memory, repaired"):
        for measure in MEASURES:
            key = f"{measure}_{name.replace(', ', '_')}_{test}"
            print(f"{key} = {by_memory[name, test][measure]:.1f}")
    for (variant, way), found in seeds.items():
        for measure in MEASURES:
            values = [run[test][measure] for run in found]
            print(f"{measure}_{variant}_{way}_{test} = {np.mean(values):.1f}")
            print(f"{measure}_{variant}_{way}_{test}_low = {min(values):.1f}")
            print(f"{measure}_{variant}_{way}_{test}_high = {max(values):.1f}")
for variant in ("plain", "smoothed"):
    found = by_seed(runs, variant)
    print(f"loss_{variant}_low = {min(run['validation_loss'] for run in found):.2f}")
    print(f"loss_{variant}_high = {max(run['validation_loss'] for run in found):.2f}")

tried = {
    (variant, run["rate"]): run["validation_loss"]
    for variant in ("plain", "smoothed")
    for name, run in runs["metrics"].items()
    if name.startswith(f"{variant}, rate")
}
best = {
    min((loss, rate) for (of, rate), loss in tried.items() if of == variant)[1]
    for variant in ("plain", "smoothed")
}
assert best == {0.002} and {rate for _, rate in tried} == {0.001, 0.002, 0.004}
print(f"best_rate = {min(best)}")

# %% bootstrap


def over(ours, theirs):  # how far apart two systems are, in paired draws
    gaps = np.subtract(ours, theirs)
    return (gaps.mean(), *interval(gaps))


gained = {}
for test in TESTS:
    each = [run[f"{test} draws"] for run in seeds["smoothed", "beam"]]
    ours = np.mean(each, axis=0)  # over seeds
    gained[test] = over(ours, resampled(remembered[test], data[test]))
rows = {
    f"smoothed, beam over memory, {test}": [f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"]
    for test, (mean, low, high) in gained.items()
}
table(rows, ["", "chrF gained"]).show()

# %% bootstrap_values values
for test, (mean, low, high) in gained.items():
    print(f"gain_{test} = {mean:.1f}")
    print(f"gain_low_{test} = {low:.1f}")
    print(f"gain_high_{test} = {high:.1f}")
    print(f"lack_{test} = {-mean:.1f}")
    print(f"lack_low_{test} = {-high:.1f}")
    print(f"lack_high_{test} = {-low:.1f}")


# %% chinese differs="text near a tie" tolerance="10%"
def chinese(texts, pairs):  # nothing but their Chinese characters
    def alone(text):
        return "".join(re.findall("[\u4e00-\u9fff]", text))

    pairs = [replace(m, chinese=alone(m.chinese)) for m in pairs]
    return [alone(text) for text in texts], pairs


texts = {test: translate(model, tokenizer, data[test]) for test in TESTS}  # greedy
alone, rows = {}, {}
for test in TESTS:
    for name, found in (("memory", remembered), ("model", texts)):
        alone[name, test] = score(*chinese(found[test], data[test]))["chrf"]
    draws = [resampled(*chinese(f[test], data[test])) for f in (texts, remembered)]
    alone[test] = over(*draws)
    mean, low, high = alone[test]
    rows[test] = [
        *(f"{alone[name, test]:.1f}" for name in ("memory", "model")),
        f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]",
    ]
table(rows, ["Chinese alone", "memory", "model", "model over memory"]).show()

# %% likeness differs="text near a tie" tolerance="10%"
EDGES = (0, 0.45, 0.6, 0.7, 0.8, 1.01)
finder = TranslationMemory(data["train"], longest)
figure, plots = panels(2)
likeness = {
    test: np.array([value for _, value in finder.nearest(data[test])]) for test in TESTS
}
near = {}
for axes, test in zip(plots, TESTS, strict=True):
    groups = [
        np.flatnonzero((low <= likeness[test]) & (likeness[test] < high))
        for low, high in itertools.pairwise(EDGES)
    ]
    middle = [likeness[test][group].mean() for group in groups]
    for name, found in (("memory", remembered), ("model", texts)):
        near[name, test] = [
            score(*chinese([found[test][i] for i in g], [data[test][i] for i in g]))
            for g in groups
        ]
        axes.plot(middle, [each["chrf"] for each in near[name, test]], label=name)
    axes.set_xlabel(f"{test}: cosine to the nearest")
    axes.set_xlim(right=1.1)
    axes.set_ylim(0, 52)
    label_lines(axes)
plots[0].set_ylabel("chrF of Chinese characters")
mixed = {}
for test in TESTS:  # the memory where it is close, the model elsewhere
    both = [
        old if value >= 0.6 else repair(new, m.english)
        for old, new, m, value in zip(
            repaired[test], texts[test], data[test], likeness[test], strict=True
        )
    ]
    mixed[test] = score(both, data[test])["chrf"]
    assert mixed[test] < by_memory["memory, repaired", test]["chrf"]

# %% likeness_values values
for test in TESTS:
    mean, low, high = alone[test]
    print(f"chinese_memory_{test} = {alone['memory', test]:.1f}")
    print(f"chinese_model_{test} = {alone['model', test]:.1f}")  # tolerance 10%
    print(f"chinese_gain_{test} = {mean:.1f}")  # tolerance 20%
    print(f"chinese_lack_{test} = {-mean:.1f}")  # tolerance 20%
    print(f"mixed_{test} = {mixed[test]:.1f}")  # tolerance 10%
    for name in ("memory", "model"):
        first, *_, last = (each["chrf"] for each in near[name, test])
        print(f"farthest_{name}_{test} = {first:.1f}")  # tolerance 20%
        print(f"nearest_{name}_{test} = {last:.1f}")  # tolerance 20%

# %% language_model differs="text near a tie" tolerance="10%"
language_model = results("transformer", "translation_lm")["metrics"]
sampled = {test: data[test][::10] for test in TESTS}
drawn = {}
for test in TESTS:
    systems = {
        "memory": remembered[test][::10],
        "encoder–decoder": texts[test][::10],
        "SmolLM2": language_model["as it is"][f"{test}, texts"],
        "SmolLM2, LoRA": language_model["LoRA"][f"{test}, texts"],
    }
    rows = {}
    for name, written in systems.items():
        own = chinese(written, sampled[test])
        drawn[name, test] = resampled(written, sampled[test])
        drawn["chinese", name, test] = resampled(*own)
        whole = score(written, sampled[test])
        rows[name] = [f"{whole['chrf']:.1f}", f"{whole['bleu']:.1f}"]
        low, high = interval(drawn["chinese", name, test])
        rows[name] += [f"{score(*own)['chrf']:.1f} [{low:.1f}, {high:.1f}]"]
    table(rows, [f"{test}, one in ten", "chrF", "BLEU", "Chinese alone"]).show()

# %% language_model_values values
for test in TESTS:
    print(f"sampled_{test} = {len(sampled[test])}")
    for run, key in (("as it is", "smollm2"), ("LoRA", "lora")):
        print(
            f"chrf_{key}_{test} = {language_model[run][f'{test}, sample']['chrf']:.1f}"
        )
    own = chinese(language_model["LoRA"][f"{test}, texts"], sampled[test])
    print(f"chinese_lora_{test} = {score(*own)['chrf']:.1f}")
    mean, low, high = over(
        drawn["chinese", "SmolLM2, LoRA", test], drawn["chinese", "memory", test]
    )
    print(f"lora_low_{test} = {low:.1f}")
    print(f"lora_high_{test} = {high:.1f}")


# %% errors
for text, values in (("没有", {"count": 3}), ("%(x)s 个", {"count": 3}), ("没有", 3)):
    try:
        print(f"{text!r} % {values} gives {text % values!r}")
    except (KeyError, TypeError) as error:
        print(f"{text!r} % {values} raises {error!r}")


# %% keep
class KeepPlaceholders(LogitsProcessor):
    def __init__(self, tokenizer, english, max_length):
        self.max_length, self.end = max_length, tokenizer.eos_token_id
        self.slots = torch.tensor(tokenizer.convert_tokens_to_ids(list(SLOTS)))
        wanted = [[] for _ in english]
        for text, row in zip(english, wanted, strict=True):
            counts = Counter(PLACEHOLDER.findall(text))  # in order of appearance
            row += [*counts.values(), *[0] * (len(SLOTS) - len(counts))]
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
mended = [repair(text, m.english) for text, m in zip(free, some, strict=True)]
rows = {}
for name, written in (("free", free), ("repaired", mended), ("constrained", bound)):
    whole, own = score(written, some), score(*chinese(written, some))
    rows[name] = [whole["placeholders"], whole["chrf"], own["chrf"]]
columns = [f"{len(some)} messages", "placeholders, %", "chrF", "Chinese alone"]
table(rows, columns, ".1f").show()
broken = [i for i, m in enumerate(some) if not kept(free[i], m.english)]
for i in broken[:: len(broken) // 3][:3]:
    print(some[i].english, "|", free[i], "|", bound[i])

# %% always_values values
print(f"with_placeholders = {len(some)}")
for name, (placeholders, whole, own) in rows.items():
    print(f"kept_{name} = {placeholders:.0f}")  # tolerance 20%
    print(f"chrf_{name} = {whole:.1f}")  # tolerance 10%
    print(f"chinese_{name} = {own:.1f}")  # tolerance 20%

# %% catalogue differs="text near a tie"
SOURCE = """
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8"

#, python-format
msgid "Delete %(count)d files"
msgstr ""

#, python-format
msgid "%s has %d pages"
msgstr ""
"""
catalogue = read_po(io.BytesIO(SOURCE.encode()), locale="zh_CN")
entries = [entry for entry in catalogue if entry.id and not entry.string]
asked = [Message(entry.id, "", "", 0) for entry in entries]
written = translate(
    model, tokenizer, asked, processor=PlaceholderLogitsProcessor, num_beams=4
)
for entry, text in zip(entries, written, strict=True):
    entry.string = text
    entry.flags.add("fuzzy")  # not shown to users before a person has looked
write_po(file := io.BytesIO(), catalogue, omit_header=True)
print(file.getvalue().decode().strip())
assert not any(entry.check(catalogue) for entry in entries)
entries[1].string = "%d 页：%s"  # all placeholders, in another order
print(*entries[1].check(catalogue))
