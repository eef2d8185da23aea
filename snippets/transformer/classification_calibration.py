# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from llm_tutorial.data.reviews import reviews
from llm_tutorial.plotting import COLOURS, GREY, legend, panels, use_style
from llm_tutorial.results import weights
from llm_tutorial.tables import table
from llm_tutorial.transformer.calibration import (
    bin_predictions,
    calibration_error,
    cost_threshold,
    error_by_chance,
    fit_temperature,
    mean_cost,
)
from llm_tutorial.transformer.classification import encode, logits_of

use_style()
folder = weights("transformer", "classification")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)

# %% logits
z, y = {}, {}
for split in ("validation", "test"):
    found = reviews(split)
    y[split] = torch.tensor([review.label for review in found])
    z[split] = logits_of(
        model, encode(tokenizer, [r.text for r in found], [r.label for r in found])
    )
p = z["test"].softmax(-1)  # (text, class)
confidence, named = p.max(-1)
right = named == y["test"]
print(f"accuracy {right.double().mean():.3f}, mean confidence {confidence.mean():.3f}")
sure = confidence > 0.95
share = right[sure].double().mean()
print(f"more than 95 % sure: {int(sure.sum())} texts, {share:.3f} right")


# %% slopes
def slopes(z, y, beta):
    """Cross-entropy at an inverse temperature, its slope and its curvature."""
    p = (beta * z).softmax(-1)
    right = z.gather(1, y[:, None])[:, 0]
    mean = (p * z).sum(-1)  # E_p[z], one for each text
    variance = (p * z.square()).sum(-1) - mean.square()
    loss = (beta * z).logsumexp(-1) - beta * right
    return loss.mean(), (mean - right).mean(), variance.mean()


beta = torch.tensor(0.7, dtype=torch.double, requires_grad=True)
loss, slope, curvature = slopes(z["test"].double(), y["test"], beta)
assert torch.allclose(loss, F.cross_entropy(0.7 * z["test"].double(), y["test"]))
(first,) = torch.autograd.grad(loss, beta, create_graph=True)
(second,) = torch.autograd.grad(first, beta)
assert torch.allclose(first, slope) and torch.allclose(second, curvature)
assert curvature > 0

# %% newton
beta, path = 0.0, []  # T is infinite: every class as probable as the others
for _ in range(30):
    loss, slope, curvature = slopes(z["validation"].double(), y["validation"], beta)
    beta -= float(slope / curvature)
    path.append(beta)
T = 1 / beta
assert abs(slope) < 1e-9 and path == sorted(path)  # from one side, never too far
assert abs(T - fit_temperature(z["validation"], y["validation"])) < 1e-6
print(f"T = {T:.3f}")


# %% library
class Logits(ClassifierMixin, BaseEstimator):
    """Hands scikit-learn logits that are there already."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X

    def predict(self, X):
        return (X > 0).astype(int)


difference = (z["validation"][:, 1] - z["validation"][:, 0]).double().numpy()
labels = y["validation"].numpy()
frozen = FrozenEstimator(Logits().fit(difference, labels))
library = CalibratedClassifierCV(frozen, method="temperature")
library.fit(difference, labels)
beta = library.calibrated_classifiers_[0].calibrators[0].beta_
theirs = 1 / float(beta) / 2  # its two scores are -d and d, which are 2 d apart
print(f"scikit-learn: T = {theirs:.3f}")
assert abs(theirs - T) < 0.01 * T

# %% unchanged
scaled = (z["test"] / T).softmax(-1)
assert torch.equal(scaled.argmax(-1), named)  # the same class for every text
gap = z["test"][:, 1] - z["test"][:, 0]  # two classes: the order of the texts, too
assert (scaled[gap.argsort(), 1].diff() >= 0).all()
two = torch.tensor([[3.0, 2.0, -10.0], [2.0, 0.0, 0.0]])  # three classes, two texts
for t in (1, 4):
    print(f"T = {t}: confidence", (two / t).softmax(-1).max(-1).values.numpy().round(2))


# %% ece
def ece(confidence, right, bins):
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].double().mean()
            total += inside.double().mean() * gap.abs()
    return float(total)


after = scaled.max(-1).values
for name, each in (("before", confidence), ("after", after)):
    found = ece(each.double(), right, 15)
    assert abs(found - calibration_error(each, right, 15)) < 1e-9
    print(f"{name}: ECE {found:.3f}")

# %% reliability
figure, axes = panels(2, height=3.1)
for ax, name, each in zip(axes, ("before", "after"), (confidence, after), strict=True):
    found = bin_predictions(each, right, 10)
    ax.plot([0.5, 1], [0.5, 1], color=GREY, marker="", lw=1)
    ax.bar(found.confidence, found.accuracy, 0.035, color=COLOURS[0], alpha=0.75)
    ax.vlines(
        found.confidence, found.accuracy, found.confidence, color=COLOURS[1], lw=2
    )
    ax.set(title=name, xlabel="confidence", ylabel="share right", xlim=(0.48, 1.02))
    ax.set_ylim(0.4, 1.02)
plt.show()

# %% bias
draw = torch.Generator().manual_seed(0)
BINS = (5, 10, 15, 30, 60, 120, 240)
chance, formula, measured = [], [], []
for bins in BINS:
    drawn = [
        calibration_error(after, torch.rand(len(after), generator=draw) < after, bins)
        for _ in range(60)  # labels of a model whose probabilities are right
    ]
    chance.append(100 * sum(drawn) / len(drawn))
    formula.append(100 * error_by_chance(after, bins))
    measured.append(100 * calibration_error(after, right, bins))
assert np.allclose(chance, formula, rtol=0.2)

# %% bias_figure
figure, (ax,) = panels()
ax.plot(BINS, measured, label="measured")
ax.plot(BINS, chance, label="perfect, drawn")
ax.plot(BINS, formula, label="perfect, formula", ls="--")
ax.set(xlabel="bins", ylabel="calibration error (%)", xscale="log", ylim=(0, None))
ax.set_xticks(BINS, [str(b) for b in BINS])
ax.minorticks_off()
legend(ax)
plt.show()


# %% calibration_values values
def loss_of(p):
    return -p.gather(1, y["test"][:, None]).log().mean()


print(f"accuracy = {100 * right.double().mean():.1f}")
print(f"confidence = {100 * confidence.mean():.1f}")
print(f"sure = {int(sure.sum())}")
print(f"sure_right = {100 * right[sure].double().mean():.1f}")
print(f"temperature = {T:.2f}")
print(f"ece_before = {100 * ece(confidence.double(), right, 15):.1f}")
print(f"ece_after = {100 * ece(after.double(), right, 15):.1f}")
print(f"ece_chance = {100 * error_by_chance(after, 15):.1f}")
print(f"loss_before = {loss_of(p):.3f}")
print(f"loss_after = {loss_of(scaled):.3f}")
print(f"ece_few_bins = {measured[0]:.1f}")
print(f"ece_many_bins = {measured[-1]:.1f}")
print(f"chance_many_bins = {chance[-1]:.1f}")
print(f"texts = {len(right)}")

# %% cost
UNREAD, IN_VAIN = 4, 1  # an unhappy guest overlooked; a happy one read in vain
t = cost_threshold(IN_VAIN, UNREAD)
unhappy = {split: y[split] == 0 for split in y}
as_is = {split: each.softmax(-1)[:, 0] for split, each in z.items()}  # q
scaled_q = {split: (each / T).softmax(-1)[:, 0] for split, each in z.items()}

# %% platt
d = {split: (each[:, :1] - each[:, 1:]).double().numpy() for split, each in z.items()}
platt = LogisticRegression(C=1e6).fit(d["validation"], unhappy["validation"])
shifted = {split: torch.from_numpy(platt.predict_proba(d[split])[:, 1]) for split in d}
print(f"a = {platt.coef_[0, 0]:.3f} (1/T = {1 / T:.3f}), c = {platt.intercept_[0]:.3f}")
near = (scaled_q["test"] > 0.05) & (scaled_q["test"] < 0.2)
share = unhappy["test"][near].double().mean()
for name, q in (("scaled", scaled_q), ("scaled and shifted", shifted)):
    print(f"{name}: q is {q['test'][near].mean():.3f}, and {share:.3f} are negative")


# %% rules
def searched(q, true):
    """The threshold with the least cost on these texts."""
    tried = q.unique().tolist()
    costs = [mean_cost(q, true, each, IN_VAIN, UNREAD) for each in tried]
    return tried[int(np.argmin(costs))]


best = searched(as_is["validation"], unhappy["validation"])
rules = {
    "read none": (as_is, 2.0),
    "read all": (as_is, 0.0),
    "q ≥ 0.5": (as_is, 0.5),
    "q ≥ τ": (as_is, t),
    "scaled q ≥ τ": (scaled_q, t),
    "scaled and shifted q ≥ τ": (shifted, t),
    "searched on validation": (as_is, best),
}
costs, reads = {}, {}
for name, (q, threshold) in rules.items():
    costs[name] = mean_cost(q["test"], unhappy["test"], threshold, IN_VAIN, UNREAD)
    reads[name] = 100 * float((q["test"] >= threshold).double().mean())
rows = {name: [reads[name], costs[name]] for name in rules}
table(rows, ["", "read (%)", "cost a review"], [".0f", ".3f"]).show()

# %% cost_figure
figure, (ax,) = panels()
grid = np.linspace(0.005, 0.6, 120)
ways = {"as it is": as_is, "scaled": scaled_q, "scaled and shifted": shifted}
for name, q in ways.items():
    line = [mean_cost(q["test"], unhappy["test"], x, IN_VAIN, UNREAD) for x in grid]
    ax.plot(grid, line, label=name, markevery=20)
ax.axvline(t, color=GREY, lw=1, ls="--")
ax.set(xlabel="threshold", ylabel="cost a review", ylim=(0, None))
legend(ax)
plt.show()


# %% uncertainty
def difference(first, second):
    """How much more the first rule costs: mean, and 95 % of bootstrap draws."""
    each = []
    for q, threshold in (rules[first], rules[second]):
        act = q["test"] >= threshold
        missed, vain = ~act & unhappy["test"], act & ~unhappy["test"]
        each.append((UNREAD * missed + IN_VAIN * vain).double())
    gap = (each[0] - each[1]).numpy()
    picks = np.random.default_rng(0).integers(len(gap), size=(2000, len(gap)))
    low, high = np.quantile(gap[picks].mean(1), (0.025, 0.975))
    return gap.mean(), low, high


PAIRS = {
    "scaling": ("q ≥ τ", "scaled q ≥ τ"),
    "shifting": ("scaled q ≥ τ", "scaled and shifted q ≥ τ"),
    "searching": ("searched on validation", "scaled and shifted q ≥ τ"),
}
for first, second in PAIRS.values():
    mean, low, high = difference(first, second)
    print(f"{first} - {second}: {mean:+.3f} ({low:+.3f} to {high:+.3f})")

# %% rare
SHARE = 0.05  # of negative reviews where the model is used
weight = torch.where(
    unhappy["test"],
    SHARE / unhappy["test"].double().mean(),
    (1 - SHARE) / (~unhappy["test"]).double().mean(),
)  # each text stands for so many


def weighted(x):
    return float((weight * x.double()).sum() / weight.sum())


trained = sum(r.label == 0 for r in reviews("train")) / len(reviews("train"))
odds = SHARE / (1 - SHARE) / (trained / (1 - trained))
q = shifted["test"]
new_odds = q / (1 - q) * odds
corrected = new_odds / (1 + new_odds)
flags = {
    "never": torch.zeros_like(unhappy["test"]),
    "q ≥ τ": q >= t,
    "corrected q ≥ 0.5": corrected >= 0.5,
    "corrected q ≥ τ": corrected >= t,
}
rows = {}
for name, flag in flags.items():
    hit = weighted(flag & unhappy["test"])
    rows[name] = [
        100 * weighted(flag == unhappy["test"]),
        100 * hit / SHARE,
        100 * hit / max(weighted(flag), 1e-9),
        UNREAD * (SHARE - hit) + IN_VAIN * weighted(flag & ~unhappy["test"]),
    ]
columns = ["", "accuracy (%)", "recall (%)", "precision (%)", "cost a review"]
table(rows, columns, [".1f", ".1f", ".1f", ".3f"]).show()

# %% cost_values values
print(f"threshold = {t:.2f}")
print(f"unread = {UNREAD}")
print(f"validation_texts = {len(y['validation'])}")
print(f"near_scaled = {100 * scaled_q['test'][near].mean():.0f}")
print(f"near_negative = {100 * share:.0f}")
KEYS = ("none", "all", "half", "raw", "scaled", "shifted", "searched")
for key, name in zip(KEYS, rules, strict=True):
    print(f"cost_{key} = {costs[name]:.3f}")
    print(f"read_{key} = {reads[name]:.0f}")
for key, pair in PAIRS.items():
    mean, low, high = difference(*pair)
    print(f"{key} = {mean:.3f}")
    print(f"{key}_low = {low:.3f}")
    print(f"{key}_high = {high:.3f}")
for name, key in zip(flags, ("never", "plain", "half", "cheap"), strict=True):
    what = ("accuracy", "recall", "precision", "cost")
    for value, word in zip(rows[name], what, strict=True):
        print(f"rare_{key}_{word} = {value:.3f}")
