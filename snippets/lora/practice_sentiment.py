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
    return statistics.mean(runs[f"{variant}, {form}, seed {seed}"]["curve"][-1][1] for seed in seeds)


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
vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, best["longest"]), min_df=2, sublinear_tf=True)
vectors = vectorizer.fit_transform([review.text for review in training])
classifier = LogisticRegression(C=best["C"], max_iter=1000).fit(vectors, [review.label for review in training])
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
spread = max(max(v) - min(v) for v in (over_seeds(variant, form) for variant in VARIANTS for form in FORMS))

# %% compared_values values
for variant, form in itertools.product(VARIANTS, FORMS):
    print(f"{variant}_{form} = {statistics.mean(over_seeds(variant, form)):.1f}")
print(f"spread = {spread:.1f}")

# %% time values
for form in FORMS:
    print(f"time_{form} = {seconds('dense', form) / seconds('sparse', form):.2f}")  # tolerance 50%
    print(f"window_time_{form} = {seconds('dense', form) / seconds('window', form):.2f}")  # tolerance 50%

# %% curves
figure, axes = panels(2, height=2.8)
for form, ax in zip(FORMS, axes, strict=True):
    for variant in VARIANTS:
        curves = [runs[f"{variant}, {form}, seed {seed}"]["curve"] for seed in seeds]
        loss = [statistics.mean(point[2] for point in points) for points in zip(*curves, strict=True)]
        whole = seconds(variant, form) / seconds("dense", form)
        ax.plot([whole * (place + 1) / len(loss) for place in range(len(loss))], loss, label=variant, markevery=4)
    ax.set(title=form, xlabel="time / dense", ylabel="loss", ylim=(0.25, 0.75))
legend(figure)
plt.show()

# %% sweep
for name in ("window 0", "sparse, joined", "window 2", "8 entities", "128 entities"):
    print(f"{name:14} validation {100 * runs[f'{name}, seed 0']['validation']:.1f} %")
swept = [100 * runs[f"{name}, seed 0"]["validation"] for name in ("window 0", "window 2", "8 entities", "128 entities")]
swept += over_seeds("sparse", "joined", "validation")[:1]
for form in FORMS:
    print(f"rates {form}", *(f"{variant} {runs[f'{variant}, {form}, seed 0']['rate']:g}" for variant in VARIANTS))
same = over_seeds("sparse", "joined", "validation")
long = runs[manifest["longest_run"]]
assert max(100 * long["test"], *(max(over_seeds(v, f)) for v in VARIANTS for f in FORMS)) < ngrams
assert max(over_seeds("sparse", "joined")) < min(over_seeds("dense", "joined"))

# %% sweep_values values
print(f"sweep_width = {max(swept) - min(swept):.1f}")
print(f"seed_width = {max(same) - min(same):.1f}")
print(f"long_steps = {long['curve'][-1][0]}")
print(f"long_loss = {long['curve'][-1][2]:.2f}")
print(f"long = {100 * long['test']:.1f}")
