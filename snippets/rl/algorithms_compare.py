# %% setup
from llm_tutorial.experiments import by_seed
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

grpo, cure = results("rl", "algorithms_grpo"), results("rl", "algorithms_cure")
pool = results("rl", "algorithms_pool")["metrics"]

# %% best_of
best = pool["untrained"]["best of"]
rows = {n: [100 * share] for n, share in best.items()}
table(rows, ["answers drawn", "one is paid in full, %"], ".0f").show()

# %% compared
RUNS = {
    "untrained": [grpo["metrics"]["untrained"]],
    "fine-tuning": [pool["fine-tuning"]],
    **{name: by_seed(cure, name) for name in ("no KL", "KL 0.005", "KL 0.02")},
    "GRPO, 30 steps": by_seed(grpo, "GRPO"),
}
KEYS = ["greedy", "sampled", "frames"]
rows = {
    name: [over_seeds([100 * run[key] for run in runs], ".0f") for key in KEYS]
    for name, runs in RUNS.items()
}
table(rows, ["method", "greedy, %", "sampled, %", "frames, %"]).show()

# %% compared_values values
tuned = pool["fine-tuning"]
print(f"examples = {tuned['examples']}")
for key in KEYS:
    print(f"{key}_tuned = {100 * tuned[key]:.0f}")
for n, share in best.items():
    print(
        f"best_{n} = {100 * share:.1f}" if n == "1" else f"best_{n} = {100 * share:.0f}"
    )
