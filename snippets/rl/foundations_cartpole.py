# %% setup
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import fisher_exact

from llm_tutorial.experiments import by_seed
from llm_tutorial.plotting import COLOURS, GREY, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.rl.actor_critic import actor_critic, actor_critic_loss
from llm_tutorial.rl.reinforce import reinforce_loss
from llm_tutorial.rl.rollout import Agent, Collector, mean_return, whole_episodes
from llm_tutorial.tables import over_seeds, table

torch.set_default_dtype(torch.float32)  # the corridor had 64 bits
torch.manual_seed(0)
use_style()
np.random.seed(0)  # draws the actions
manifest = {
    "no baseline": results("rl", "no_baseline"),
    "REINFORCE": results("rl", "reinforce"),
    "actor-critic": results("rl", "actor_critic"),
}
bar = gymnasium.spec("CartPole-v1").reward_threshold  # 475, as Gymnasium states it

# %% whole_trajectories
agent = Agent(4, 2, scale=10)  # policy and value, two networks of two hidden layers
envs = gymnasium.make_vec("CartPole-v1", num_envs=8)
rollout = whole_episodes(envs, agent, seed=0)  # fields are (steps, 8)


def reinforce_by_hand(agent, rollout, gamma=0.99):
    G, later = torch.empty_like(rollout.rewards), torch.zeros(8)
    for t in reversed(range(len(G))):
        G[t] = later = rollout.rewards[t] + gamma * later * ~rollout.ended[t]
    log_probs = agent.policy(rollout.observations).log_prob(rollout.actions)
    A = G - G[rollout.valid].mean()  # the baseline: the mean of this batch
    return -(A * log_probs)[rollout.valid].sum() / 8  # nothing counts after the end


loss = reinforce_by_hand(agent, rollout)
assert torch.allclose(loss, reinforce_loss(agent, rollout))

# %% pieces
envs = gymnasium.make_vec("CartPole-v1", num_envs=16)
piece = Collector(envs, seed=0).steps(agent, 8)  # (8, 16): no wait for the end


def actor_critic_by_hand(agent, piece, gamma=0.99, decay=0.95):
    values = agent.value(piece.observations)
    after = agent.value(piece.next_observations).detach()
    delta = piece.rewards + gamma * after * ~piece.terminated - values.detach()
    A, later = torch.empty_like(delta), torch.zeros(16)
    for t in reversed(range(len(delta))):
        A[t] = later = delta[t] + gamma * decay * later * ~piece.ended[t]
    log_probs = agent.policy(piece.observations).log_prob(piece.actions)
    targets = A + values.detach()
    losses = -A * log_probs + (targets - values).square()
    return losses[piece.valid].mean()


loss = actor_critic_by_hand(agent, piece)
assert torch.allclose(loss, actor_critic_loss(agent, piece))

# %% live
test = gymnasium.make_vec("CartPole-v1", num_envs=100)
before = mean_return(test, agent, seed=1)
*_, (steps, loss) = actor_critic(agent, envs, rate=3e-3, budget=10_000)
after = mean_return(test, agent, seed=1)
print(f"mean of 100 trajectories: {before:.0f} before, {after:.0f} after {steps} steps")
assert after > 2 * before

# %% curves
METHODS = {
    "no baseline": "no baseline", "REINFORCE": "mean as baseline",
    "actor-critic": "actor–critic",
}  # fmt: skip
runs = {name: by_seed(manifest[name], name) for name in METHODS}
thousands = range(0, 151, 30)
figure, axes = panels(3, height=2.6)
for panel, (name, label) in zip(axes, METHODS.items(), strict=True):
    for run in runs[name]:
        panel.plot(thousands, run["curve"], color=COLOURS[0], lw=1, marker="")
    panel.axhline(bar, color=GREY, ls="--", lw=1, marker="")
    panel.set(title=label, xlabel="thousand steps", ylabel="return", ylim=(0, 520))
plt.show()

# %% results
longer = results("rl", "reinforce_long")
tried = {label: (manifest[name], runs[name]) for name, label in METHODS.items()}
tried["mean as baseline, longer"] = longer, by_seed(longer, "longer")
rows = {}
for label, (made, found) in tried.items():
    tests = [run["test"] for run in found]
    rows[label] = [
        f"{made['steps']:,}",
        f"{made['rate']:g}",
        over_seeds([run["area"] for run in found], ".0f"),
        over_seeds(tests, ".0f"),
        f"{sum(test >= bar for test in tests)} of {len(tests)}",
    ]
heads = ["", "steps", "rate", "mean of the curve", "100 new trials", "seeds at 475"]
table(rows, heads).show()

# %% results_values values
critic, mean = tried["actor–critic"][1], tried["mean as baseline"][1]
passed = [sum(run["test"] >= bar for run in found) for found in (critic, mean)]
chance = fisher_exact([[n, 5 - n] for n in passed]).pvalue
print(f"chance = {chance:.2f}")
print(f"early = {sum(min(run['curve'][2:]) >= bar for run in critic)}")
print(f"budget = {manifest['REINFORCE']['steps']}")
print(f"longer = {longer['steps']}")
for short, (_, found) in zip(
    ("none", "mean", "critic", "long"), tried.values(), strict=True
):
    tests, areas = ([run[key] for run in found] for key in ("test", "area"))
    print(f"solved_{short} = {sum(test >= bar for test in tests)}")
    print(f"lowest_{short} = {min(tests):.0f}")
    print(f"area_{short} = {sum(areas) / len(areas):.0f}")

# %% rates
measured = {k: v for each in manifest.values() for k, v in each["metrics"].items()}
rows = {
    f"{rate:g}": [measured[f"{name}, rate {rate:g}"]["area"] for name in METHODS]
    for rate in (1e-3, 3e-3, 1e-2, 3e-2)
}
for column, name in enumerate(METHODS):  # the best is the one that was taken, no end
    best = max(rows, key=lambda rate, column=column: rows[rate][column])
    assert best == f"{manifest[name]['rate']:g}" and best in ("0.003", "0.01")
table(rows, ["rate", *METHODS.values()], ".0f").show()
