# %% setup
import matplotlib.pyplot as plt

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table

use_style()
grpo = results("rl", "algorithms_grpo")
untrained, plain = grpo["metrics"]["untrained"], by_seed(grpo, "GRPO")
curves = [run["curve"] for run in plain]

# %% curves
figure, axes = panels(columns=2, rows=2, height=2.2)
NAMES = {
    "reward": "reward",
    "silent": "share of silent groups",
    "entropy": "entropy, nats a token",
    "gradient": "norm of the gradient",
}
for axis, (key, title) in zip(axes, NAMES.items(), strict=True):
    for number, curve in enumerate(curves):
        axis.plot(
            range(1, len(curve) + 1),
            [step[key] for step in curve],
            label=f"seed {number}",
            linewidth=1,
        )
    axis.set(xlabel="step", title=title)
legend(figure)
plt.show()

# %% curves_values values
first = [curve[0] for curve in curves]  # answers written before the first update
groups = 8 * len(first)
print(f"groups = {groups}")
print(f"base_greedy = {100 * untrained['greedy']:.0f}")
print(f"base_sampled = {100 * untrained['sampled']:.0f}")
print(f"base_spread = {sum(each['spread'] for each in first) / len(first):.2f}")
assert not any(each["silent"] for each in first)
print(f"base_entropy = {sum(each['entropy'] for each in first) / len(first):.1f}")
full = [
    next(n for n, c in enumerate(curve, 1) if c["reward"] > 0.99) for curve in curves
]
print(f"first_full = {min(full)}")
print(f"last_full = {max(full)}")
print(f"last_entropy = {max(curve[-1]['entropy'] for curve in curves):.2f}")
print(f"succeeded = {100 * sum(run['sampled'] for run in plain) / len(plain):.0f}")
print(f"worst = {100 * min(run['sampled'] for run in plain):.0f}")

# %% transcripts
runs = {f"seed {number}": run for number, run in enumerate(plain)}
for name, run in {"untrained": untrained, **runs}.items():
    print(name)
    for text in run["drawn"][1:5]:
        print("   ", text.strip())

# %% became
KEYS = {"sampled": "sampled, %", "frames": "frames, %", "sentences": "a fourth word, %"}
NATS = {"prompted": "nats, prompted", "english": "nats, alone"}
rows = {
    name: [100 * run[key] for key in KEYS] + [run[key] for key in NATS]
    for name, run in {"untrained": untrained, **runs}.items()
}
columns = ["", *KEYS.values(), *NATS.values()]
table(rows, columns, [".0f"] * 3 + [".2f"] * 2).show()

# %% became_values values
print(f"frames_low = {100 * min(run['frames'] for run in plain):.0f}")
print(f"frames_high = {100 * max(run['frames'] for run in plain):.0f}")
for name, run in {"base": untrained, **runs}.items():
    print(f"{name.replace(' ', '_')}_prompted = {run['prompted']:.2f}")
    print(f"{name.replace(' ', '_')}_alone = {run['english']:.2f}")
    print(f"{name.replace(' ', '_')}_verb = {100 * run['sentences']:.0f}")
