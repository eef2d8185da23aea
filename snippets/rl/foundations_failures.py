# %% setup
import gymnasium
import numpy as np
import torch

from llm_tutorial.rl.advantages import gae, normalised, returns_to_go
from llm_tutorial.rl.reinforce import descend
from llm_tutorial.rl.rollout import Agent, mean_return, whole_episodes
from llm_tutorial.tables import table

torch.manual_seed(0)
np.random.seed(0)  # draws the actions


# %% no_baseline
def learn(baseline, rate=0.05, steps=300, runs=2000):
    logit = torch.zeros(runs)  # of the better of two actions, in each of 2,000 runs
    mean = 10 + (torch.rand(runs) < 0.5).float()  # a first reward, then of all so far
    for _ in range(steps):
        p = logit.sigmoid()
        action = (torch.rand(runs) < p).float()
        reward = 10 + action  # 10, or 11 for the better action
        logit += rate * (reward - baseline * mean) * (action - p)
        mean += 0.1 * (reward - mean)
    return logit.sigmoid()


chosen = {
    "no baseline": learn(False),
    "no baseline, a 20th of the rate, 20 times the steps": learn(False, 0.0025, 6000),
    "baseline": learn(True),
}
rows = {
    name: [100 * (p < 0.1).float().mean().item(), 100 * (p > 0.9).float().mean().item()]
    for name, p in chosen.items()
}
heads = ["", "runs settled on the worse, %", "on the better, %"]
table(rows, heads, ".0f").show()
assert rows["no baseline"][0] > 10
assert all(worse < 1 for worse, _ in list(rows.values())[1:])

# %% no_baseline_values values
print(f"stuck = {rows['no baseline'][0]:.0f}")

# %% wrong_sign
envs = gymnasium.make_vec("CartPole-v1", num_envs=8)
test = gymnasium.make_vec("CartPole-v1", num_envs=50)
rows = {}
for name, sign in (("right", -1), ("wrong", 1)):
    torch.manual_seed(0)
    np.random.seed(0)
    agent = Agent(4, 2)
    optimizer, losses = torch.optim.Adam(agent.actor.parameters()), []
    found = [mean_return(test, agent, seed=1)]
    for update in range(12):
        drawn = whole_episodes(envs, agent, seed=update)
        returns = returns_to_go(drawn.rewards, drawn.ended, 0.99)
        log_probs = agent.policy(drawn.observations).log_prob(drawn.actions)
        loss = sign * (returns * log_probs)[drawn.valid].sum() / 8
        losses.append(loss.item())
        descend(optimizer, loss, rate=1e-2)
    rows[name] = [*found, mean_return(test, agent, seed=1), losses[0], losses[-1]]
heads = ["sign", "return before", "after 12 updates", "first loss", "last loss"]
table(rows, heads, ".0f").show()
assert rows["wrong"][1] < rows["wrong"][0] < rows["right"][1]
assert all(row[3] > row[2] for row in rows.values())  # both losses rise


# %% time_limit
def learned_value(limit_ends, limit=20, gamma=0.99):  # reward 1 a step, for ever
    value, never = 0.0, torch.zeros(limit, dtype=torch.bool)
    last = torch.arange(limit) == limit - 1  # cut off after 20 steps
    terminated = last if limit_ends else never
    for _ in range(400):
        values = torch.full((limit,), value)
        credit = gae(torch.ones(limit), values, values, terminated, last, gamma, 0.9)
        value += 0.2 * credit.mean().item()
    return value


taken, right = learned_value(True), learned_value(False)
print(f"limit taken for the end: {taken:.1f}; right: {right:.1f}; true: 100")
assert abs(right - 100) < 1
assert taken < 15

# %% batch_of_one
advantages = torch.tensor([3.0])  # one answer, say
layer = torch.nn.Linear(2, 2)
log_prob = layer(torch.ones(2)).log_softmax(-1)[0]
usual = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
(-usual * log_prob).sum().backward()
print(usual, layer.weight.grad)
assert usual.isnan().all() and layer.weight.grad.isnan().all()

assert normalised(advantages).item() == 0  # nothing to compare with: no signal
equals = torch.full((8,), 0.7)  # a group of equals: rounding, next to nothing
assert normalised(equals).abs().max() < 1e-2
