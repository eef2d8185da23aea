# %% setup
import matplotlib.pyplot as plt
from peft import PeftModel

from llm_tutorial.experiments import by_seed
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.plotting import label_lines, panels, spread, use_style
from llm_tutorial.results import results, weights
from llm_tutorial.rl.sentences import measured
from llm_tutorial.rl.three_words import held_out_triples
from llm_tutorial.tables import over_seeds, table

use_style()
grpo, cure = results("rl", "algorithms_grpo"), results("rl", "algorithms_cure")
methods = results("rl", "algorithms_methods")["metrics"]
pool = results("rl", "algorithms_pool")["metrics"]
trl = results("rl", "algorithms_trl")["metrics"]
untrained = grpo["metrics"]["untrained"]
plain, chosen = by_seed(grpo, "GRPO"), by_seed(cure, "chosen")

# %% curves
figure, axes = panels(columns=2, height=2.6, sharey=False)
for axis, key, title in zip(
    axes, ("reward", "entropy"), ("reward", "entropy, nats a token"), strict=True
):
    for runs, label in ((plain, "GRPO"), (chosen, "with KL")):
        curves = [[step[key] for step in run["curve"]] for run in runs]
        spread(axis, range(1, len(curves[0]) + 1), curves, label=label)
    axis.set(xlabel="step", title=title)
    label_lines(axis)
plt.show()

# %% base_rates
best = pool["untrained"]["best of"]
rows = {
    "greedy": [100 * untrained["greedy"]],
    "sampled": [100 * pool["untrained"]["sampled"]],
    **{f"best of {n}": [100 * share] for n, share in best.items() if n != "1"},
    "silent groups": [100 * pool["untrained"]["silent"]],
}
table(rows, ["untrained", "%"], ".1f").show()

# %% answers_on_the_way
rows = {str(int(step) + 1): [text] for step, text in plain[0]["shown"].items()}
table(rows, ["step", "the best answer to its first prompt"]).show()

# %% became
KEYS = ["greedy", "sampled", "sentences", "frames"]
NATS = ["prompted", "english"]


def row(runs):
    shares = [over_seeds([100 * run[key] for run in runs], ".0f") for key in KEYS]
    return shares + [over_seeds([run[key] for run in runs], ".2f") for key in NATS]


won = pool["untrained"]
rows = {
    "untrained": row([untrained]),
    "its own successes": [
        "",
        "",
        "",
        "",
        f"{won['prompted']:.2f}",
        f"{won['english']:.2f}",
    ],
    "GRPO": row(plain),
    "with KL": row(chosen),
}
columns = ["", "greedy, %", "sampled, %", "room for a verb, %", "frames, %"]
columns += ["nats, prompted", "nats, alone"]
table(rows, columns).show()

# %% strengths
rows = {
    name: [
        *(run["beta"], run["rate"], 100 * run["sampled"]),
        *(100 * run["sentences"], 100 * run["frames"], run["english"]),
    ]
    for name, run in cure["metrics"].items()
    if name.startswith("beta")
}
columns = [
    "",
    "β",
    "rate",
    "sampled, %",
    "room for a verb, %",
    "frames, %",
    "nats, alone",
]
table(rows, columns, ["g", "g", ".0f", ".0f", ".0f", ".2f"]).show()

# %% compared


def minutes(run):
    return (
        sum(step["seconds"] for step in run["curve"]) / 60 if "curve" in run else None
    )


runs = {"GRPO": plain[0], "with KL": chosen[0], **methods, "TRL": trl["TRL"]}
runs |= {name: pool[name] for name in ("DPO", "fine-tuning")}
rows = {}
for name, run in runs.items():
    time = minutes(run)
    shares = [100 * run[key] for key in KEYS]
    rows[name] = [f"{time:.0f}" if time else "", *shares, run["english"]]
columns = [
    "method",
    "minutes",
    "greedy, %",
    "sampled, %",
    "room for a verb, %",
    "frames, %",
]
table(rows, [*columns, "nats, alone"], ["", ".0f", ".0f", ".0f", ".0f", ".2f"]).show()

# %% live differs="greedy text near a tie"
tokenizer = load_tokenizer()
model = PeftModel.from_pretrained(
    load_model(), weights("rl", "algorithms_cure") / "adapter"
)
live = measured(model, tokenizer, held_out_triples()[:8], answers=1)
for text in live["answers"][:4]:
    print(text)
