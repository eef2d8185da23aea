# %% setup
from llm_tutorial.experiments import by_seed
from llm_tutorial.results import results
from llm_tutorial.tables import table

settings = results("rl", "cartpole_settings")
critic = results("rl", "actor_critic")
assert settings["rate"] == critic["rate"] and settings["steps"] == critic["steps"]

# %% time_limit_cartpole
limits = {
    "the limit is no end": by_seed(settings, "limit"),
    "the limit is the end": by_seed(settings, "limit taken for the end"),
}
rows = {
    name: [", ".join(f"{run[key]:.0f}" for run in runs) for key in ("value", "test")]
    for name, runs in limits.items()
}
heads = ["", "value of the upright pole, three seeds", "return in trials of 500"]
table(rows, heads).show()

# %% limit_values values
others = results("rl", "no_baseline"), results("rl", "reinforce")
runs = settings, critic, results("rl", "reinforce_long"), *others
hours = sum(each["seconds"] for each in runs) / 3600
print(f"hours_of_training = {hours:.1f}")
for short, runs in zip(("right", "wrong"), limits.values(), strict=True):
    print(f"value_{short} = {sum(run['value'] for run in runs) / len(runs):.0f}")
    lowest = min(run["test"] for run in runs)
    print(f"lowest_{short} = {lowest:.0f}")
    print(f"worth_{short} = {(1 - 0.99**lowest) / (1 - 0.99):.0f}")

# %% decays
decays = {
    "0": by_seed(settings, "lambda 0"), "0.8": by_seed(settings, "lambda 0.8"),
    "0.95": by_seed(critic, "actor-critic")[:3], "1": by_seed(settings, "lambda 1"),
}  # fmt: skip
rows = {
    decay: [", ".join(f"{run[key]:.0f}" for run in runs) for key in ("area", "test")]
    for decay, runs in decays.items()
}
table(rows, ["λ", "mean of the curve, three seeds", "100 new trials"]).show()
for seed in range(3):
    assert min(decays, key=lambda decay: decays[decay][seed]["area"]) == "0"
