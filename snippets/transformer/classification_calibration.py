# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
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
    found = bin_predictions(each, right, 15)
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
print("sure_from = 95")
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

# %% shapes
d = {split: (each[:, 0] - each[:, 1]).double().numpy() for split, each in z.items()}
labels = unhappy["validation"].long().numpy()
sloped = LogisticRegression(C=1e6)  # two numbers: σ(a d + b)
sloped.fit(d["validation"][:, None], labels)
stairs = IsotonicRegression(out_of_bounds="clip")  # rises with d, whatever its shape
stairs.fit(d["validation"], labels)
platt = {s: torch.from_numpy(sloped.predict_proba(d[s][:, None])[:, 1]) for s in d}
risen = {s: torch.from_numpy(stairs.predict(d[s])) for s in d}
ways = {"as it is": as_is, "scaled": scaled_q, "Platt": platt, "isotonic": risen}
WINDOWS = ((0.15, 0.2), (0.8, 0.85))
near, negative = {}, {}
for low, high in WINDOWS:
    inside = (scaled_q["test"] > low) & (scaled_q["test"] < high)
    near[low] = {name: float(q["test"][inside].mean()) for name, q in ways.items()}
    negative[low] = float(unhappy["test"][inside].double().mean())
    print(f"{int(inside.sum())} texts, scaled q from {low} to {high}:", end=" ")
    print(f"{negative[low]:.2f} negative", end="; ")
    print(*(f"{name} {q:.2f}" for name, q in near[low].items()), sep=", ")


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
    "Platt q ≥ τ": (platt, t),
    "isotonic q ≥ τ": (risen, t),
    "searched on validation": (as_is, best),
}
costs, reads = {}, {}
for name, (q, threshold) in rules.items():
    costs[name] = mean_cost(q["test"], unhappy["test"], threshold, IN_VAIN, UNREAD)
    reads[name] = 100 * float((q["test"] >= threshold).double().mean())
rows = {name: [reads[name], costs[name]] for name in rules}
table(rows, ["", "read (%)", "cost a review"], [".0f", ".3f"]).show()
assert costs["scaled q ≥ τ"] < costs["q ≥ τ"]
assert abs(costs["isotonic q ≥ τ"] - costs["searched on validation"]) < 0.01

# %% cost_figure
figure, (left, ax) = panels(2, height=3.3)
grid = np.linspace(0.005, 0.6, 120)
order = scaled_q["test"].argsort()
for name, q in ways.items():
    left.plot(scaled_q["test"][order], q["test"][order], label=name, marker="")
    line = [mean_cost(q["test"], unhappy["test"], x, IN_VAIN, UNREAD) for x in grid]
    ax.plot(grid, line, label=name, marker="")
parts = order.tensor_split(14)  # as many texts in each
x = [scaled_q["test"][part].mean() for part in parts]
share = [unhappy["test"][part].double().mean() for part in parts]
left.plot(x, share, "o", color=GREY, label="measured")
left.axhline(t, color=GREY, lw=1, ls="--")
ax.axvline(t, color=GREY, lw=1, ls="--")
left.set(xlabel="scaled q", ylabel="share negative")
ax.set(xlabel="threshold", ylabel="cost a review", ylim=(0, None))
legend(figure)
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
    "shifting": ("scaled q ≥ τ", "Platt q ≥ τ"),
    "bending": ("Platt q ≥ τ", "isotonic q ≥ τ"),
    "isotonic": ("scaled q ≥ τ", "isotonic q ≥ τ"),
    "searching": ("searched on validation", "isotonic q ≥ τ"),
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


before = float(unhappy["validation"].double().mean())  # where q was fitted
odds = SHARE / (1 - SHARE) / (before / (1 - before))
q = risen["test"].clamp(0.001, 0.999)  # no odds can move a q of 0 or 1
new_odds = q / (1 - q) * odds
corrected = new_odds / (1 + new_odds)
flags = {
    "never": torch.zeros_like(unhappy["test"]),
    "q ≥ τ": q >= t,
    "corrected q ≥ τ": corrected >= t,
}
rows = {}
for name, flag in flags.items():
    hit = weighted(flag & unhappy["test"])
    rows[name] = [
        100 * weighted(flag == unhappy["test"]),
        100 * hit / SHARE,
        100 * hit / weighted(flag) if flag.any() else "—",
        UNREAD * (SHARE - hit) + IN_VAIN * weighted(flag & ~unhappy["test"]),
    ]
columns = ["", "accuracy (%)", "recall (%)", "precision (%)", "cost a review"]
table(rows, columns, [".1f", ".1f", ".1f", ".3f"]).show()
assert rows["corrected q ≥ τ"][3] < min(rows["never"][3], rows["q ≥ τ"][3])
assert abs(weighted(corrected) - SHARE) < 0.3 * SHARE  # as many as there are

# %% cost_values values
print(f"threshold = {t:.2f}")
print(f"unread = {UNREAD}")
print(f"validation_texts = {len(y['validation'])}")
for low, key in ((0.15, "near"), (0.8, "far")):
    print(f"{key}_negative = {100 * negative[low]:.0f}")
    for name in ("scaled", "Platt", "isotonic"):
        print(f"{key}_{name.lower()} = {100 * near[low][name]:.0f}")
odds_at = t / (1 - t) / odds
print(f"threshold_before = {odds_at / (1 + odds_at):.2f}")
third = encode(tokenizer, ["书还行，就是有点贵。"], [0])
for key, divisor in (("before", 1), ("after", T)):
    print(f"third_{key} = {(logits_of(model, third) / divisor).softmax(-1).max():.2f}")
KEYS = ("none", "all", "half", "raw", "scaled", "platt", "isotonic", "searched")
for key, name in zip(KEYS, rules, strict=True):
    print(f"cost_{key} = {costs[name]:.3f}")
    print(f"read_{key} = {reads[name]:.0f}")
for key, pair in PAIRS.items():
    mean, low, high = difference(*pair)
    print(f"{key} = {mean:.3f}")
    print(f"{key}_low = {low:.3f}")
    print(f"{key}_high = {high:.3f}")
for name, key in zip(flags, ("never", "plain", "cheap"), strict=True):
    what = ("accuracy", "recall", "precision", "cost")
    for value, word in zip(rows[name], what, strict=True):
        if value != "—":
            print(f"rare_{key}_{word} = {value:.3f}")
