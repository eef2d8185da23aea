# %% setup
import math
import statistics
import time
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from torch.nn import functional as F
from transformers.utils import logging

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_encoder, load_tokenizer
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
from llm_tutorial.transformer.calibration import fit_temperature
from llm_tutorial.transformer.classification import MeanClassifier
from llm_tutorial.transformer.classification_data import (
    language_texts,
    package_labels,
    package_texts,
)

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
longer = runs["from scratch, longer, seed 0"]
passes = longer["steps"] * 32 / LABELS[-1]
rows[f"from scratch, {passes:.1f} passes"] = [
    "",
    f"{100 * longer['test_accuracy']:.1f}",
]
rows["TF-IDF"] = [
    f"{100 * runs[f'TF-IDF, {n} labels']['test_accuracy']:.1f}" for n in LABELS
]
table(rows, ["accuracy (%)", "1,000 labels", "all labels"]).show()

# %% reviews_figure
figure, (ax,) = panels()
shown = {
    "all labels" if n == LABELS[-1] else f"{n:,} labels": [
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
print(f"longer_steps = {longer['steps']}")
print(f"longer_passes = {passes:.1f}")
print(f"longer_seconds = {longer['curve'][-1][1]:.0f}")  # tolerance 60%
seen = 250 * 32
print(f"seen = {seen}")
print(f"seen_passes = {seen / LABELS[-1]:.1f}")
each = percent(chinese, "news, 1000 labels")
print(f"news_1000_low = {min(each):.1f}")
print(f"news_1000_high = {max(each):.1f}")
print(f"stalled_loss = {by_seed(chinese, 'news, 1000 labels')[0]['test_loss']:.2f}")
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


lost = {
    "Chinese reviews": unknown([r.text for r in reviews("test")[:500]]),
    "English summaries": unknown([t.text for t in package_texts("test")]),
}
for name, value in lost.items():
    print(f"{name}: {value:.1f} % of the characters unknown")

# %% unknown_values values
print(f"lost_chinese = {lost['Chinese reviews']:.0f}")
print(f"lost_english = {lost['English summaries']:.1f}")
found = methods["metrics"]["Chinese reviews"]
print(f"minilm_chinese = {100 * found['best_accuracy']:.1f}")

# %% ngrams
packages = package_labels()
said, label = {}, {}
for split in ("train", "test"):
    said[split] = [each.text for each in package_texts(split)]
    label[split] = [packages.index(each.label) for each in package_texts(split)]

start = time.process_time()
vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
regression = LogisticRegression(C=100, max_iter=2000)
regression.fit(vectorizer.fit_transform(said["train"]), label["train"])
ngrams_seconds = time.process_time() - start
reached = regression.score(vectorizer.transform(said["test"]), label["test"])
print(f"TF-IDF, all {len(said['train']):,} labels: accuracy {reached:.3f}")
recorded = methods["metrics"]["TF-IDF, all labels, seed 0"]["test_accuracy"]
assert abs(reached - recorded) < 0.005

# %% probe
encoder = load_encoder("minilm", add_pooling_layer=False)


def read(numbers, split):
    """Sentences as one padded batch, and their labels."""
    texts = [said[split][n] for n in numbers]
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return inputs, torch.tensor([label[split][n] for n in numbers])


@torch.inference_mode()
def mean_vectors(numbers, split):
    """The mean of the encoder's vectors at real tokens: (sentence, width)."""
    parts = []
    for at in range(0, len(numbers), 64):
        inputs, _ = read(numbers[at : at + 64], split)
        real = inputs["attention_mask"][..., None]
        states = encoder(**inputs).last_hidden_state  # (batch, token, width)
        parts.append((states * real).sum(1) / real.sum(1))
    return torch.cat(parts).numpy()


draw = torch.Generator().manual_seed(0)
seen, five = Counter(), []  # five sentences of each package
for n in torch.randperm(len(said["train"]), generator=draw).tolist():
    if seen[label["train"][n]] < 5:
        seen[label["train"][n]] += 1
        five.append(n)
regression = LogisticRegression(C=10, max_iter=2000)
regression.fit(mean_vectors(five, "train"), [label["train"][n] for n in five])
everything = range(len(said["test"]))
reached = regression.score(mean_vectors(everything, "test"), label["test"])
print(f"probe, {len(five)} labels: accuracy {reached:.3f}")
recorded = methods["metrics"]["probe, few labels, seed 0"]["test_accuracy"]
assert abs(reached - recorded) < 0.01

# %% lora
torch.manual_seed(0)
linear = ["query", "key", "value", "dense"]  # BERT's linear layers
config = LoraConfig(r=8, lora_alpha=16, target_modules=linear)
adapted = get_peft_model(encoder, config)  # leave it out: full fine-tuning
classifier = MeanClassifier(adapted, len(packages))  # the mean, a linear layer
trained = [p for p in classifier.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=0.004)
losses = []
for _ in range(20):
    inputs, target = read([five[n] for n in torch.randint(len(five), (16,))], "train")
    logits = classifier(inputs["input_ids"], inputs["attention_mask"]).logits
    loss = F.cross_entropy(logits, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
first, last = statistics.mean(losses[:5]), statistics.mean(losses[-5:])
print(f"LoRA, 20 steps: loss {first:.2f} to {last:.2f}")
print(f"{sum(p.numel() for p in trained):,} parameters are trained")
assert last < first - 0.3

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
        ax.errorbar(x, middle, [low, high], fmt="o", label=name, capsize=3)
    ngrams = statistics.mean(accuracy("TF-IDF", settings[-1]))
    ax.axhline(ngrams, color="gray", linestyle="--", label="TF-IDF")
    ax.set(xlabel="seconds of one core", ylabel="accuracy (%)", xlim=(0, None))
    ax.set(ylim=(30, 90))
    ax.set_title("5 labels a class" if few else "all labels")
legend(figure)
plt.show()

# %% methods_values values
print(f"packages = {len({t.label for t in package_texts('test')})}")
print(f"sentences_train = {len(package_texts('train'))}")
print(f"sentences_validation = {len(package_texts('validation'))}")
print(f"few_labels = {len(five)}")
print(f"ngrams_seconds = {ngrams_seconds:.1f}")  # tolerance 80%
print(f"sentences_test = {len(package_texts('test'))}")
for method in ("probe", "LoRA", "full", "TF-IDF"):
    for setting, key in zip(SETTINGS, ("few", "short", "long"), strict=True):
        each = accuracy(method, setting)
        name = f"{method.replace('-', '')}_{key}"
        print(f"{name} = {statistics.mean(each):.1f}")
        print(f"{name}_low = {min(each):.1f}")
        print(f"{name}_high = {max(each):.1f}")
        if method != "TF-IDF":
            print(f"{name}_seconds = {seconds(method, setting):.0f}")
for method in ("LoRA", "full"):
    run = by_seed(methods, f"{method}, all labels")[0]
    print(f"trained_{method} = {run['trained']}")
    print(f"rate_{method} = {run['rate']:g}")
    print(f"rate_{method}_short = {by_seed(methods, f'{method}, short')[0]['rate']:g}")
    passes = run["steps"] * 16 / len(package_texts("train"))
    print(f"passes_{method} = {passes:.1f}")
    print(f"steps_{method} = {run['steps']}")
    recalls = percent(methods, f"{method}, all labels", "test_recall")
    print(f"recall_{method} = {statistics.mean(recalls):.1f}")
(recall,) = percent(methods, "TF-IDF, all labels", "test_recall")
print(f"recall_TFIDF = {recall:.1f}")
share = statistics.mean(accuracy("LoRA", "all labels")) / 100
error = math.sqrt(share * (1 - share) / len(package_texts("test")))
print(f"standard_error = {100 * error:.1f}")
print(f"standard_error_difference = {100 * math.sqrt(2) * error:.1f}")  # unpaired
# what the page says of each seed
assert min(accuracy("LoRA", "all labels")) > max(accuracy("full", "all labels"))
assert min(accuracy("probe", "few labels")) > max(accuracy("LoRA", "few labels"))
assert max(accuracy("LoRA", "short")) < accuracy("probe", "short")[0]
library_head = methods["metrics"]["library head, seed 0"]
print(f"library_head = {100 * library_head['test_accuracy']:.1f}")

# %% classes
counts = Counter(text.label for text in package_texts("train"))
print("most", counts.most_common(1), "fewest", counts.most_common()[-1:])
for name, method in {**METHODS, "TF-IDF": "TF-IDF"}.items():
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
    all_names = int((true["test"] == a).sum())
    print(f"{codes[a]} named {codes[b]}: {pairs[a, b]} of {all_names}")

# %% too_sure
T = fit_temperature(log_p["validation"], true["validation"])
losses = []
for name, z in (("as it is", log_p["test"]), (f"T = {T:.2f}", log_p["test"] / T)):
    sure = z.softmax(-1).max(-1).values.mean()
    losses.append(F.cross_entropy(z, true["test"]))
    print(f"{name:9} {100 * sure:.0f} % sure on average, loss {losses[-1]:.2f}")
assert losses[1] < losses[0]

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
recall = {
    c: float(right[true["test"] == n].double().mean()) for n, c in enumerate(codes)
}
print(f"recall_perfect = {sum(value == 1 for value in recall.values())}")
for code in ("nb", "nn", "th", "my"):
    print(f"recall_{code} = {100 * recall[code]:.0f}")
