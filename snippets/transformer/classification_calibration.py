# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
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
beta = 1.0
for _ in range(20):
    loss, slope, curvature = slopes(z["validation"].double(), y["validation"], beta)
    beta -= float(slope / curvature)
T = 1 / beta
assert (
    abs(slope) < 1e-9
    and abs(T - fit_temperature(z["validation"], y["validation"])) < 1e-6
)
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
raw, calibrated = p[:, 0], scaled[:, 0]  # probability of a negative review


def searched(probability, true):
    """The threshold with the least cost on these texts."""
    tried = probability.unique()
    costs = [mean_cost(probability, true, float(c), IN_VAIN, UNREAD) for c in tried]
    return float(tried[int(np.argmin(costs))])


rules = {
    "read none": (raw, 2.0),
    "read all": (raw, 0.0),
    "0.5": (raw, 0.5),
    "formula, before": (raw, t),
    "formula, after": (calibrated, t),
    "searched on validation": (
        raw, searched(z["validation"].softmax(-1)[:, 0], unhappy["validation"])
    ),
}  # fmt: skip
costs = {
    name: mean_cost(probability, unhappy["test"], threshold, IN_VAIN, UNREAD)
    for name, (probability, threshold) in rules.items()
}
reads = {
    name: 100 * float((probability >= threshold).double().mean())
    for name, (probability, threshold) in rules.items()
}
rows = {name: [reads[name], costs[name]] for name in rules}
table(rows, ["", "read (%)", "cost a review"], [".0f", ".3f"]).show()

# %% cost_figure
figure, (ax,) = panels()
grid = np.linspace(0.005, 0.6, 120)
for name, probability in (("before", raw), ("after", calibrated)):
    line = [mean_cost(probability, unhappy["test"], x, IN_VAIN, UNREAD) for x in grid]
    ax.plot(grid, line, label=name, markevery=20)
ax.axvline(t, color=GREY, lw=1, ls="--")
ax.set(xlabel="threshold", ylabel="cost a review", ylim=(0, None))
legend(ax)
plt.show()


# %% uncertainty
def difference(first, second):
    """How much more the first rule costs: mean, and 95 % of bootstrap draws."""
    each = []
    for probability, threshold in (rules[first], rules[second]):
        act = probability >= threshold
        miss = UNREAD * (~act & unhappy["test"]) + IN_VAIN * (act & ~unhappy["test"])
        each.append(miss.double())
    gap = (each[0] - each[1]).numpy()
    picks = np.random.default_rng(0).integers(len(gap), size=(2000, len(gap)))
    low, high = np.quantile(gap[picks].mean(1), (0.025, 0.975))
    return gap.mean(), low, high


for name in ("0.5", "formula, before", "searched on validation"):
    mean, low, high = difference(name, "formula, after")
    print(f"{name:24} costs {mean:+.3f} more ({low:+.3f} to {high:+.3f})")

# %% rare
SHARE = 0.05  # of negative reviews where the model is used
weight = torch.where(
    unhappy["test"],
    SHARE / unhappy["test"].double().mean(),
    (1 - SHARE) / (~unhappy["test"]).double().mean(),
)  # each text stands for so many


def weighted(x):
    return float((weight * x.double()).sum() / weight.sum())


share = float(torch.tensor([r.label == 0 for r in reviews("train")]).double().mean())
odds = SHARE / (1 - SHARE) / (share / (1 - share))
shift = calibrated / (1 - calibrated) * odds  # odds of a negative review, corrected
corrected = shift / (1 + shift)
flags = {
    "never": torch.zeros_like(unhappy["test"]),
    "p ≥ 0.5": calibrated >= 0.5,
    "corrected p ≥ 0.5": corrected >= 0.5,
    "corrected p ≥ t": corrected >= t,
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
print(f"threshold = {t:.3f}")
print(f"unread = {UNREAD}")
print(f"validation_texts = {len(y['validation'])}")
for name, key in (
    ("0.5", "half"), ("formula, before", "raw"), ("formula, after", "scaled"),
    ("searched on validation", "searched"), ("read all", "all"),
):  # fmt: skip
    print(f"cost_{key} = {costs[name]:.3f}")
    print(f"read_{key} = {reads[name]:.0f}")
for name, key in (
    ("0.5", "half"),
    ("formula, before", "raw"),
    ("searched on validation", "searched"),
):
    mean, low, high = difference(name, "formula, after")
    print(f"more_{key} = {mean:.3f}")
    print(f"more_{key}_low = {low:.3f}")
    print(f"more_{key}_high = {high:.3f}")
for name, key in (
    ("never", "never"),
    ("p ≥ 0.5", "half"),
    ("corrected p ≥ 0.5", "corrected"),
    ("corrected p ≥ t", "cheap"),
):
    for value, what in zip(
        rows[name], ("accuracy", "recall", "precision", "cost"), strict=True
    ):
        print(f"rare_{key}_{what} = {value:.3f}")
