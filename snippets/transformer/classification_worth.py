# %% setup
import math
import statistics
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from torch.nn import functional as F
from transformers.utils import logging

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_tokenizer
from llm_tutorial.plotting import (
    bars,
    heatmap,
    legend,
    panels,
    use_style,
    verbatim,
)
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.transformer.calibration import calibration_error, fit_temperature
from llm_tutorial.transformer.classification_data import language_texts, package_texts

use_style()
logging.set_verbosity_error()
chinese = results("transformer", "classification")
methods = results("transformer", "classification_methods")
languages = results("transformer", "classification_languages")


def percent(manifest, variant, key="test_accuracy"):
    """Of each seed."""
    return [100 * run[key] for run in by_seed(manifest, variant)]


# %% reviews_table
STARTS = {"from scratch": "from scratch", "pretrained on news": "news"}
LABELS = (1000, 13687)
rows = {
    name: [over_seeds(percent(chinese, f"{start}, {n} labels")) for n in LABELS]
    for name, start in STARTS.items()
}
runs = chinese["metrics"]
rows["TF-IDF"] = [
    f"{100 * runs[f'TF-IDF, {n} labels']['test_accuracy']:.1f}" for n in LABELS
]
table(rows, ["accuracy (%)", "1,000 labels", "13,687 labels"]).show()

# %% reviews_figure
figure, (ax,) = panels()
shown = {
    f"{n:,} labels": [
        *(percent(chinese, f"{start}, {n} labels") for start in STARTS.values()),
        [100 * runs[f"TF-IDF, {n} labels"]["test_accuracy"]],
    ]
    for n in LABELS
}
bars(ax, [*STARTS, "TF-IDF"], shown, form=".1f")
ax.set(xlabel="accuracy (%)", xlim=(50, 90))
plt.show()


# %% reviews_values values
def reach(run):
    return 100 * runs[run]["test_accuracy"]


print(f"reviews_train = {len(reviews('train'))}")
print(f"reviews_test = {len(reviews('test'))}")
pretraining = runs["pretraining, news"]
print(f"pretraining_steps = {len(pretraining['curve']) * 50}")
print(f"pretraining_first = {pretraining['first_loss']:.2f}")
print(f"pretraining_last = {pretraining['last_loss']:.2f}")
counts = Counter(
    character for d in people_daily("train") for character in d.text.strip()
)
total = sum(counts.values())
entropy = -sum(n / total * math.log(n / total) for n in counts.values())
print(f"by_frequency = {entropy:.2f}")  # nats, by the frequency of characters alone
print(f"pretraining_minutes = {pretraining['curve'][-1][1] / 60:.1f}")  # tolerance 60%
for start, key in (("from scratch", "scratch"), ("news", "news")):
    for n in LABELS:
        each = percent(chinese, f"{start}, {n} labels")
        print(f"{key}_{n} = {statistics.mean(each):.1f}")
    print(f"rate_{key} = {runs[f'{start}, 1000 labels, seed 0']['rate']:g}")
for n in LABELS:
    print(f"ngrams_{n} = {reach(f'TF-IDF, {n} labels'):.1f}")
print(f"longest = {runs['TF-IDF, 13687 labels']['longest']}")
print(f"strength = {runs['TF-IDF, 13687 labels']['C']:g}")
print(f"scratch_longer = {reach('from scratch, longer, seed 0'):.1f}")
print(f"longer_steps = {runs['from scratch, longer, seed 0']['steps']}")
print(f"news_long = {reach('news, long, seed 0'):.1f}")
print(f"long_steps = {runs['news, long, seed 0']['steps']}")

# %% unknown
tokenizer = load_tokenizer("minilm")


def unknown(texts):
    """Share of the characters, spaces aside, that stand in unknown tokens."""
    lost = total = 0
    for text in texts:
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        total += len("".join(text.split()))
        for token, (start, end) in zip(
            read.input_ids, read.offset_mapping, strict=True
        ):
            lost += (end - start) * (token == tokenizer.unk_token_id)
    return 100 * lost / total


by_language: dict[str, list[str]] = {}
for text, code in language_texts("test"):
    by_language.setdefault(code, []).append(text)
share = {code: unknown(texts) for code, texts in by_language.items()}
lost = {
    "Chinese reviews": unknown([r.text for r in reviews("test")[:500]]),
    "English summaries": unknown([t.text for t in package_texts("test")]),
}
for name, value in lost.items():
    print(f"{name}: {value:.1f} % of the characters unknown")
blind = [code for code, value in share.items() if value > 20]
print(f"{len(blind)} of {len(share)} languages above 20 %:", *sorted(blind))

# %% unknown_values values
print(f"lost_chinese = {lost['Chinese reviews']:.0f}")
print(f"lost_english = {lost['English summaries']:.1f}")
print(f"blind = {len(blind)}")
found = methods["metrics"]["Chinese reviews"]
print(f"minilm_chinese = {100 * found['best_accuracy']:.1f}")

# %% methods_table
METHODS = {"linear probe": "probe", "LoRA": "LoRA", "full fine-tuning": "full"}


def accuracy(method, setting):
    if method in ("probe", "TF-IDF"):  # one training with all labels: nothing is drawn
        setting = setting if setting == "few labels" else "all labels"
    return percent(methods, f"{method}, {setting}")


def seconds(method, setting):
    if method == "probe":
        setting = setting if setting == "few labels" else "all labels"
    each = [run["curve"][-1][1] for run in by_seed(methods, f"{method}, {setting}")]
    return statistics.mean(each)


SETTINGS = ("few labels", "short", "all labels")
rows = {
    name: [over_seeds(accuracy(method, setting)) for setting in SETTINGS]
    for name, method in {**METHODS, "TF-IDF": "TF-IDF"}.items()
}
headings = ["accuracy (%)", "5 labels a class", "all labels, short", "all labels, long"]
table(rows, headings).show()

# %% methods_figure
figure, axes = panels(2, height=3)
for ax, few in zip(axes, (True, False), strict=True):
    for name, method in METHODS.items():
        settings = ("few labels",) if few else ("short", "all labels")
        if method == "probe":
            settings = settings[-1:]
        x = [seconds(method, setting) for setting in settings]
        each = [accuracy(method, setting) for setting in settings]
        middle = [statistics.mean(values) for values in each]
        low = [m - min(v) for m, v in zip(middle, each, strict=True)]
        high = [max(v) - m for m, v in zip(middle, each, strict=True)]
        ax.errorbar(x, middle, [low, high], label=name, capsize=3)
    ax.set(xlabel="seconds of one core", ylabel="accuracy (%)", xlim=(0, None))
    ax.set_title("5 labels a class" if few else "all labels")
legend(figure)
plt.show()

# %% methods_values values
print(f"packages = {len({t.label for t in package_texts('test')})}")
print(f"sentences_train = {len(package_texts('train'))}")
print(f"sentences_test = {len(package_texts('test'))}")
for method in ("probe", "LoRA", "full", "TF-IDF"):
    for setting, key in zip(SETTINGS, ("few", "short", "long"), strict=True):
        print(f"{method}_{key} = {statistics.mean(accuracy(method, setting)):.1f}")
for method in ("LoRA", "full"):
    run = by_seed(methods, f"{method}, all labels")[0]
    print(f"trained_{method} = {run['trained']}")
    print(f"rate_{method} = {run['rate']:g}")
library_head = methods["metrics"]["library head, seed 0"]
print(f"library_head = {100 * library_head['test_accuracy']:.1f}")

# %% classes
counts = Counter(text.label for text in package_texts("train"))
print("most", counts.most_common(1), "fewest", counts.most_common()[-1:])
for name, method in METHODS.items():
    variant = f"{method}, all labels"
    print(f"{name:18} accuracy {over_seeds(percent(methods, variant))}", end="  ")
    print(f"mean recall {over_seeds(percent(methods, variant, 'test_recall'))}")

# %% languages_table
encoder = by_seed(languages, "encoder")
bayes = languages["metrics"]["naive Bayes"]
rows = {
    "naive Bayes on n-grams": [
        f"{100 * bayes['test']['accuracy']:.1f}",
        f"{bayes['test']['loss']:.2f}",
    ],
    "encoder": [
        over_seeds([100 * run["test"]["accuracy"] for run in encoder]),
        over_seeds([run["test"]["loss"] for run in encoder], ".2f"),
    ],
}
table(rows, ["", "accuracy (%)", "loss"]).show()

# %% naive_bayes
hashing = HashingVectorizer(
    analyzer="char", ngram_range=(1, bayes["longest"]), n_features=2**16,
    alternate_sign=False, norm=None,
)  # fmt: skip
names = {split: language_texts(split) for split in ("train", "validation", "test")}
counts = {s: hashing.transform([t.text for t in each]) for s, each in names.items()}
classifier = MultinomialNB(alpha=bayes["alpha"])
classifier.fit(counts["train"], [t.label for t in names["train"]])
codes = classifier.classes_.tolist()
log_p, true = {}, {}
for split in ("validation", "test"):
    log_p[split] = torch.from_numpy(classifier.predict_log_proba(counts[split]))
    true[split] = torch.tensor([codes.index(t.label) for t in names[split]])
named = log_p["test"].argmax(-1)
right = named == true["test"]
assert abs(right.double().mean() - bayes["test"]["accuracy"]) < 0.002

# %% too_sure
T = fit_temperature(log_p["validation"], true["validation"])
for name, z in (("as it is", log_p["test"]), (f"T = {T:.2f}", log_p["test"] / T)):
    error = calibration_error(z.softmax(-1).max(-1).values, right)
    loss = F.cross_entropy(z, true["test"])
    print(f"{name:9} calibration error {error:.3f}, loss {loss:.2f}")

# %% languages_values values
print(f"languages = {len(codes)}")
print(f"names_test = {len(names['test'])}")
print(f"name_length = {statistics.mean(len(t.text) for t in names['test']):.0f}")
accuracies = [100 * run["test"]["accuracy"] for run in encoder]
print(f"languages_encoder = {statistics.mean(accuracies):.1f}")
print(f"languages_bayes = {100 * bayes['test']['accuracy']:.1f}")
print(f"languages_bayes_longest = {bayes['longest']}")
print(f"languages_temperature = {T:.2f}")
z = log_p["test"]
print(f"bayes_loss = {F.cross_entropy(z, true['test']):.2f}")
print(f"bayes_loss_after = {F.cross_entropy(z / T, true['test']):.2f}")
for key, scaled in (("", z), ("_after", z / T)):
    error = calibration_error(scaled.softmax(-1).max(-1).values, right)
    print(f"bayes_ece{key} = {100 * error:.1f}")
recall = {
    c: float(right[true["test"] == n].double().mean()) for n, c in enumerate(codes)
}
print(f"recall_perfect = {sum(value == 1 for value in recall.values())}")
for code in ("nb", "nn", "th", "my"):
    print(f"recall_{code} = {100 * recall[code]:.0f}")

# %% confusion
pairs = Counter(zip(true["test"][~right].tolist(), named[~right].tolist(), strict=True))
worst = [pair for pair, _ in pairs.most_common(16)]
shown = sorted({number for pair in worst for number in pair})
matrix = np.array([[pairs[row, column] for column in shown] for row in shown])
figure, (ax,) = panels(height=4.6)
heatmap(ax, matrix, [codes[n] for n in shown], [codes[n] for n in shown])
verbatim(ax.get_xticklabels())
verbatim(ax.get_yticklabels())
ax.tick_params(axis="x", rotation=90)
ax.set(xlabel="named", ylabel="true")
plt.show()
for a, b in worst[:8]:
    print(f"{codes[a]} named {codes[b]}: {pairs[a, b]}")
