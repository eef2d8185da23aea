# %% setup
import jieba
import numpy as np

from llm_tutorial.data.reviews import reviews
from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import bars, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

use_style()
jieba.setLogLevel("WARNING")
manifest = results("cnn", "text")
opponent = results("cnn", "text_transformer")
runs = manifest["metrics"]
found = reviews("test")
NETWORKS = ("TextCNN, words", "TextCNN, characters", "Transformer, words")


def seeds(name):
    return by_seed(opponent if "Transformer" in name else manifest, name)


def right(run):  # of each review of the test: was the answer right?
    bits = f"{int(run['test_right'], 16):0{len(found)}b}"
    return np.array([bit == "1" for bit in bits])


# %% compared
rows, answers = {}, {}
for unit in ("words", "characters"):
    name, run = f"TF-IDF, {unit}", runs[f"TF-IDF, {unit}"]
    answers[name] = [right(run)]
    setting = f"n ≤ {run['longest']}, C = {run['C']}"
    rows[name] = [setting, f"{run['features']:,}"]
for name in NETWORKS:
    by = seeds(name)
    answers[name] = [right(run) for run in by]
    setting = f"rate {by[0]['rate']:g}, dropout {by[0]['dropout']:g}"
    rows[name] = [setting, f"{by[0]['parameters']:,}"]
for name, row in rows.items():
    chosen = [runs[name]] if name in runs else seeds(name)
    for split in ("validation", "test"):
        row.append(over_seeds([100 * run[f"{split}_accuracy"] for run in chosen]))
columns = ["", "setting", "parameters", "validation, %", "test, %"]
table(rows, columns).show()

# %% compared_values values
for name, each in answers.items():
    short = name.replace("-", "").replace(", ", "_").lower()
    print(f"{short} = {100 * np.mean(each):.1f}")
    print(f"{short}_lowest = {100 * np.mean(each, 1).min():.1f}")
    print(f"{short}_highest = {100 * np.mean(each, 1).max():.1f}")
print(f"test = {len(found)}")
for split in ("train", "validation"):
    print(f"{split} = {len(reviews(split))}")
print(f"steps = {manifest['steps']}")

# %% interval
RESAMPLES = 10_000
draw = np.random.default_rng(0)


def difference(ours, theirs, chosen=slice(None)):
    """Of accuracy in points, and what 95 of 100 resamples span."""
    a, b = (np.array(answers[side], int)[:, chosen] for side in (ours, theirs))
    gain = a[:, None] - b[None]  # (our seeds, their seeds, reviews)
    who = draw.integers(len(a), size=(RESAMPLES, 1))
    whom = draw.integers(len(b), size=(RESAMPLES, 1))
    which = draw.integers(gain.shape[-1], size=(RESAMPLES, gain.shape[-1]))
    resampled = gain[who, whom, which].mean(1)
    return 100 * gain.mean(), *(100 * np.quantile(resampled, [0.025, 0.975]))


pairs = [
    ("TextCNN, words", "TF-IDF, words"),
    ("TextCNN, words", "TF-IDF, characters"),
    ("TextCNN, words", "TextCNN, characters"),
    ("TextCNN, words", "Transformer, words"),
]
gains = {f"{ours} − {theirs}": difference(ours, theirs) for ours, theirs in pairs}
shown = {
    name: [f"{gain:+.1f}", f"[{low:+.1f}, {high:+.1f}]"]
    for name, (gain, low, high) in gains.items()
}
table(shown, ["", "points", "95 %"]).show()

# %% interval_values values
names = ("tfidf_words", "tfidf_characters", "characters", "transformer")
for name, (gain, low, high) in zip(names, gains.values(), strict=True):
    print(f"behind_{name} = {-gain:.1f}")
    print(f"behind_{name}_low = {-high:.1f}")
    print(f"behind_{name}_high = {-low:.1f}")
print(f"ahead_transformer = {gain:.1f}")
print(f"ahead_transformer_low = {low:.1f}")
print(f"ahead_transformer_high = {high:.1f}")

# %% kinds
lengths = np.array([len(review.text) for review in found])
NOT = {
    "不",
    "没",
    "没有",
    "不是",
    "不能",
    "不会",
    "无",
}  # as the model reads them: words
negated = np.array([not NOT.isdisjoint(jieba.cut(r.text)) for r in found])
kinds = {
    "at most 30 characters": lengths <= 30,
    "31 to 100": (lengths > 30) & (lengths <= 100),
    "more than 100": lengths > 100,
    "without 不, 没 …": ~negated,
    "with 不, 没 …": negated,
}
shown = ("TF-IDF, characters", *NETWORKS)
rows = {
    kind: [
        int(chosen.sum()),
        *(
            over_seeds([100 * r[chosen].mean() for r in answers[name]])
            for name in shown
        ),
    ]
    for kind, chosen in kinds.items()
}
table(rows, ["", "reviews", *shown], [",", *["s"] * len(shown)]).show()

# %% kinds_values values
for kind, chosen in zip(
    ("short", "middle", "long", "plain", "negated"), kinds.values(), strict=True
):
    for name in shown:
        short = name.replace("-", "").replace(", ", "_").lower()
        mean = 100 * np.mean([r[chosen].mean() for r in answers[name]])
        print(f"{kind}_{short} = {mean:.1f}")

long = difference("TextCNN, words", "TF-IDF, characters", kinds["more than 100"])
for key, value in zip(
    ("", "_low", "_high"), (-long[0], -long[2], -long[1]), strict=True
):
    print(f"behind_long{key} = {value:.1f}")
given = [review.text for review in reviews("train")]
cut_off = [text for text in given if len(text) > 256]  # in characters, at least
print(f"cut_off_characters = {len(cut_off)}")
print(f"cut_off_words = {sum(len(jieba.lcut(text)) > 256 for text in cut_off)}")
labels = np.array([review.label for review in found])
print(f"negated_length = {np.median(lengths[negated]):.0f}")
print(f"plain_length = {np.median(lengths[~negated]):.0f}")
print(f"not_in_positive = {100 * negated[labels == 1].mean():.0f}")
print(f"not_in_negative = {100 * negated[labels == 0].mean():.0f}")
valid = reviews("validation")
long = np.array([len(review.text) > 100 for review in valid])
for name, run in (("mean", "pooling mean, seed 0"), ("max", "TextCNN, words, seed 0")):
    bits = f"{int(runs[run]['validation_right'], 16):0{len(valid)}b}"
    share = np.mean([bit == "1" for bit in bits], where=long)
    print(f"{name}_long = {100 * share:.1f}")

# %% sweep
base = by_seed(manifest, "TextCNN, words")
base.append(runs["TextCNN, words, dropout 0.3"])  # the same setting, seed 3
spread = [100 * run["validation_accuracy"] for run in base]
usual = {
    "pooling": "max",
    "channel": "tuned",
    "regions": "(2, 3, 4)",
    "dropout": f"{base[0]['dropout']:g}",
    "filters": "32",
}
sweep = {}
for kind, value in usual.items():
    tried = {value: spread[0]}
    for name, run in runs.items():
        if name.startswith(f"{kind} ") and name.endswith(", seed 0"):
            setting = name.removeprefix(f"{kind} ").removesuffix(", seed 0")
            tried[setting.replace(",)", ")")] = 100 * run["validation_accuracy"]
    sweep[kind] = tried

# %% sweep_figure
names = [f"{kind} {value}" for kind in sweep for value in sweep[kind]]
values = [value for tried in sweep.values() for value in tried.values()]
figure, (axes,) = panels()
bars(axes, names, {"": values}, form=".1f")
axes.axvspan(min(spread), max(spread), color="grey", alpha=0.3, lw=0)
limits = min(values) - 1, max(values) + 1
_ = axes.set(xlim=limits, xlabel="validation accuracy, %")

# %% sweep_values values
for rate in (0.001, 0.003, 0.009, 0.027):
    tuning = runs[f"TextCNN, words, rate {rate:g}"]["validation_accuracy"]
    print(f"rate_{1000 * rate:.0f} = {100 * tuning:.1f}")
    print(f"rate_{1000 * rate:.0f}_is = {rate:g}")
print(f"spread_low = {min(spread):.1f}")
print(f"spread_high = {max(spread):.1f}")
for kind, tried in sweep.items():
    for value, accuracy in tried.items():
        key = "".join(c for c in value if c.isalnum())
        print(f"{kind}_{key} = {accuracy:.1f}")

# %% tagging
tagging = results("cnn", "text_tagging")
rows = {}
for variant in ("dilated", "undilated"):
    by = by_seed(tagging, variant)
    rows[variant] = [
        by[0]["field"],
        f"{by[0]['rate']:g}",
        *(
            over_seeds([100 * run[kind] for run in by])
            for kind in ("f1", "PER", "LOC", "ORG")
        ),
    ]
table(rows, ["", "field", "rate", "F1", "PER", "LOC", "ORG"]).show()

# %% tagging_values values
for variant in ("dilated", "undilated"):
    by = by_seed(tagging, variant)
    print(f"{variant}_field = {by[0]['field']}")
    for kind in ("f1", "PER", "LOC", "ORG"):
        mean = np.mean([100 * run[kind] for run in by])
        print(f"{variant}_{kind} = {mean:.1f}")
    print(f"{variant}_lowest = {min(100 * run['f1'] for run in by):.1f}")
    print(f"{variant}_highest = {max(100 * run['f1'] for run in by):.1f}")
trained = (manifest, opponent, tagging, results("cnn", "shifts"))  # of the chapter
hours = sum(each["seconds"] for each in trained) / 3600
print(f"hours_of_training = {hours:.1f}")
print(f"tagger_rate = {by[0]['rate']:g}")
print(f"tagger_parameters = {by[0]['parameters']}")
