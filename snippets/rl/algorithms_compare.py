# %% setup
from llm_tutorial.experiments import by_seed
from llm_tutorial.results import results
from llm_tutorial.tables import over_seeds, table

cure = results("rl", "algorithms_cure")
methods = results("rl", "algorithms_methods")["metrics"]
pool = results("rl", "algorithms_pool")["metrics"]
untrained = results("rl", "algorithms_grpo")["metrics"]["untrained"]

# %% compared
RUNS = {
    "REINFORCE": [methods["REINFORCE"]],
    "PPO, two passes": [methods["PPO"]],
    "Dr. GRPO": by_seed(cure, "no KL"),
    "Dr. GRPO, with KL": by_seed(cure, "KL 0.02"),
    "DPO": [pool["DPO"]],
    "fine-tuning": [pool["fine-tuning"]],
}
KEYS = ["greedy", "sampled", "frames"]
rows = {"untrained": [f"{100 * untrained[key]:.0f}" for key in KEYS]}
rows |= {
    name: [over_seeds([100 * run[key] for run in runs], ".0f") for key in KEYS]
    for name, runs in RUNS.items()
}
table(rows, ["method", "greedy, %", "sampled, %", "frames, %"]).show()

# %% best_of
best = pool["untrained"]["best of"]
rows = {n: [100 * share] for n, share in best.items()}
table(rows, ["answers drawn", "one is paid in full, %"], ".0f").show()

# %% compared_values values
SHORT = dict(zip(RUNS, ("reinforce", "ppo", "grpo", "kl", "dpo", "sft"), strict=True))
for name, runs in RUNS.items():
    for key in KEYS:
        mean = sum(run[key] for run in runs) / len(runs)
        print(f"{key}_{SHORT[name]} = {100 * mean:.0f}")
for n, share in best.items():
    print(f"best_{n} = {100 * share:.0f}")
print(f"pairs = {pool['DPO']['pairs']}")
print(f"examples = {pool['fine-tuning']['examples']}")
