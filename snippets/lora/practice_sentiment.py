# %% setup
import itertools
import statistics

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from llm_tutorial.data.reviews import joined_reviews, reviews
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results

use_style()
manifest = results("lora", "sentiment")
runs, seeds = manifest["metrics"], manifest["seeds"]
VARIANTS, FORMS = ("dense", "sparse", "window"), ("joined", "alone")


def over_seeds(variant: str, form: str, split: str = "test") -> list[float]:
    """Accuracy of each seed, in percent."""
    return [100 * runs[f"{variant}, {form}, seed {seed}"][split] for seed in seeds]


def seconds(variant: str, form: str) -> float:
    """Of one core, for all steps; the mean of the seeds."""
    curves = [runs[f"{variant}, {form}, seed {seed}"]["curve"] for seed in seeds]
    return statistics.mean(curve[-1][1] for curve in curves)


# %% documents
documents = joined_reviews("test")
document = documents[0]
for start, end, label in document.spans[:3]:
    print("+" if label else "-", document.text[start:end][:60])
held_out = [(d.text[s.start : s.end], s.label) for d in documents for s in d.spans]

# %% documents_values values
print(f"documents = {len(documents)}")
print(f"reviews = {len(held_out)}")
print(f"characters = {statistics.mean(len(text) for text, _ in held_out):.0f}")
print(f"positive_percent = {100 * statistics.mean(label for _, label in held_out):.0f}")

# %% ngrams
best = runs["TF-IDF"]
training = reviews("train")
options = {"analyzer": "char", "min_df": 2, "sublinear_tf": True}
vectorizer = TfidfVectorizer(ngram_range=(1, best["longest"]), **options)
vectors = vectorizer.fit_transform([review.text for review in training])
classifier = LogisticRegression(C=best["C"], max_iter=1000)
classifier.fit(vectors, [review.label for review in training])
texts, labels = zip(*held_out, strict=True)
ngrams = 100 * classifier.score(vectorizer.transform(texts), labels)
assert abs(ngrams - 100 * best["test"]) < 0.2

# %% ngrams_values values
print(f"ngrams = {ngrams:.1f}")

# %% compared
print(f"{'':8}{'joined':>24}{'alone':>24}")
for variant in VARIANTS:
    cells = [over_seeds(variant, form) for form in FORMS]
    shown = [f"{statistics.mean(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in cells]
    print(f"{variant:8}" + "".join(f"{cell:>24}" for cell in shown))

# %% compared_values values
spreads = []
for variant, form in itertools.product(VARIANTS, FORMS):
    right = over_seeds(variant, form)
    spreads.append(max(right) - min(right))
    print(f"{variant}_{form} = {statistics.mean(right):.1f}")
print(f"spread = {max(spreads):.1f}")

# %% time values
for form in FORMS:
    dense, sparse, window = (seconds(variant, form) for variant in VARIANTS)
    print(f"time_{form} = {dense / sparse:.2f}")  # tolerance 50%
    print(f"window_time_{form} = {dense / window:.2f}")  # tolerance 50%

# %% curves
figure, axes = panels(2, height=2.8)
for form, ax in zip(FORMS, axes, strict=True):
    for variant in VARIANTS:
        curves = [runs[f"{variant}, {form}, seed {seed}"]["curve"] for seed in seeds]
        losses = [[loss for *_, loss in curve] for curve in curves]  # (seed, step)
        loss = [statistics.mean(step) for step in zip(*losses, strict=True)]
        whole = seconds(variant, form) / seconds("dense", form)
        time = [whole * (place + 1) / len(loss) for place in range(len(loss))]
        ax.plot(time, loss, label=variant, markevery=4)
    ax.set(title=form, xlabel="time / dense", ylabel="loss", ylim=(0.25, 0.75))
legend(figure)
plt.show()

# %% sweep
swept = []
for name in ("window 0", "sparse, joined", "window 2", "8 entities", "128 entities"):
    swept.append(100 * runs[f"{name}, seed 0"]["validation"])
    print(f"{name:14} validation {swept[-1]:.1f} %")
for form in FORMS:
    rates = [runs[f"{variant}, {form}, seed 0"]["rate"] for variant in VARIANTS]
    each = [f"{name} {rate:g}" for name, rate in zip(VARIANTS, rates, strict=True)]
    print(f"rates {form}", *each)
same = over_seeds("sparse", "joined", "validation")
long = runs[manifest["longest_run"]]
assert 100 * long["test"] < ngrams
for variant, form in itertools.product(VARIANTS, FORMS):
    assert max(over_seeds(variant, form)) < ngrams
assert max(over_seeds("sparse", "joined")) < min(over_seeds("dense", "joined"))

# %% sweep_values values
print(f"sweep_width = {max(swept) - min(swept):.1f}")
print(f"seed_width = {max(same) - min(same):.1f}")
print(f"long_steps = {long['curve'][-1][0]}")
print(f"long_loss = {long['curve'][-1][2]:.2f}")
print(f"long = {100 * long['test']:.1f}")
