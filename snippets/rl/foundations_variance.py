# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.plotting import COLOURS, legend, panels, use_style
from llm_tutorial.rl.advantages import gae, returns_to_go
from llm_tutorial.rl.mdp import corridor
from llm_tutorial.tables import table

torch.set_default_dtype(torch.float64)
use_style()
walk = corridor()  # the corridor and the policy from above
gamma = walk.discount
torch.manual_seed(0)
theta = torch.randn(7, 2, requires_grad=True)
(exact,) = torch.autograd.grad(walk.objective(theta.softmax(-1)), theta)
policy = theta.softmax(-1).detach()
V, Q = walk.values(policy), walk.action_values(policy)

torch.manual_seed(1)
N = 10_000
drawn = walk.sample(policy, N)
discounts = gamma ** torch.arange(len(drawn.rewards))[:, None]
to_go = returns_to_go(drawn.rewards, drawn.ended, gamma)


def estimates(weights):  # (steps, N) -> (N, 7, 2), as above
    g = torch.zeros(N, 7, 2)
    for state, action, weight in zip(
        drawn.states, drawn.actions, weights * drawn.valid, strict=True
    ):
        score = -policy[state]
        score[torch.arange(N), action] += 1
        g[torch.arange(N), state] += weight[:, None] * score
    return g


# %% baselines
def variance(g):  # of one trajectory's estimate, summed over the parameters
    return g.var(0).sum().item()


g = estimates(discounts * to_go)  # no baseline
h = estimates(discounts)  # what a baseline of 1 subtracts: its mean is 0
half = N // 2  # the best baselines are found on one half and judged on the other
gh, hh = (g * h)[:half].sum((0, 2)), h[:half].square().sum((0, 2))  # (7,)
best, constant = gh / hh.clamp(min=1e-9), gh.sum() / hh.sum()
baselines = {
    "none": torch.zeros(7), "best constant": constant.expand(7), "V": V,
    "best of each state": best,
}  # fmt: skip
for b in baselines.values():  # none moves the mean
    off = (b[:, None] * h).mean(0) / ((b[:, None] * h).std(0) / N**0.5).clamp(min=1e-9)
    assert off.abs().max() < 4
spread = {name: variance((g - b[:, None] * h)[half:]) for name, b in baselines.items()}
whole = variance(estimates((discounts * drawn.rewards).sum(0))[half:])
assert whole > spread["none"] > spread["best constant"] > spread["V"]
assert spread["V"] > spread["best of each state"]
nudged = [variance((g - (best + x)[:, None] * h)[half:]) for x in (-0.1, 0.1)]
assert min(nudged) > spread["best of each state"]  # it is a minimum

# %% shifted
later = estimates(discounts * (to_go + 10))  # every return is 10 higher
moved = {
    "none": variance(later[half:]),
    "V": variance((later - (V + 10)[:, None] * h)[half:]),
}
rows = {"whole return, no baseline": [f"{whole:.2f}", ""]} | {
    f"return to go, baseline: {name}": [
        f"{value:.2f}", f"{moved[name]:.2f}" if name in moved else "",
    ]
    for name, value in spread.items()
}  # fmt: skip
table(rows, ["credit", "variance", "all returns 10 higher"]).show()

# %% baseline_values values
print(f"saved_past = {100 * (1 - spread['none'] / whole):.0f}")
for short, name in (
    ("constant", "best constant"), ("v", "V"), ("best", "best of each state"),
):  # fmt: skip
    print(f"saved_{short} = {100 * (1 - spread[name] / spread['none']):.0f}")
print(f"times_none = {moved['none'] / spread['none']:.0f}")

# %% gae_definition
critic = V + torch.tensor([0, 0.4, -0.4, 0.3, -0.3, 0.4, 0])  # a critic that is off
no_limit = torch.zeros_like(drawn.ended)


def credit(values, decay):  # the library's: one pass backwards
    now, after = values[drawn.states], values[drawn.next_states]
    return gae(drawn.rewards, now, after, drawn.ended, no_limit, gamma, decay)


path = drawn.valid[:, 0]  # one trajectory, and the sum in the formula, lambda = 0.6
state, after = drawn.states[path, 0], drawn.next_states[path, 0]
delta = drawn.rewards[path, 0] + gamma * critic[after] - critic[state]
delta[-1] -= gamma * critic[after[-1]]  # nothing follows the end
steps = len(delta)
sums = [
    sum((gamma * 0.6) ** k * delta[t + k] for k in range(steps - t))
    for t in range(steps)
]
assert torch.allclose(torch.stack(sums), credit(critic, 0.6)[path, 0])
whole_return = credit(critic, 1.0) - (to_go - critic[drawn.states])
assert whole_return[drawn.valid].abs().max() < 1e-9  # lambda = 1: return less value

# %% gae_bias
going_on = ~walk.terminal
d = walk.occupancy(policy)[:, None] * policy  # (7, 2): how often each action is taken
inside = torch.diag(going_on.double())  # no credit after the end, nor from there
moves = inside @ torch.einsum("sa,sat->st", policy, walk.transitions) @ inside


def mean_credit(values, decay):  # E[credit | state, action], exact
    delta = inside @ (walk.action_values(policy, values) - values[:, None])
    matrix = torch.eye(7) - gamma * decay * moves
    ahead = torch.linalg.solve(matrix, (policy * delta).sum(-1))  # (7,)
    return delta + gamma * decay * inside @ (walk.transitions @ (inside @ ahead))


def bias_and_variance(values, decay):
    mean, drawn_credit = mean_credit(values, decay), credit(values, decay)
    error = (d * (mean - (Q - V[:, None])).square()).sum() / d.sum()  # of the advantage
    noise = (drawn_credit - mean[drawn.states, drawn.actions]).square()
    noise = (noise * discounts * drawn.valid).sum() / (discounts * drawn.valid).sum()
    centred = mean - (policy * mean).sum(-1, keepdim=True)
    off = (d * centred - exact).square().sum()  # bias of the gradient, squared
    return [x.item() for x in (error.sqrt(), noise.sqrt(), off)] + [
        variance(estimates(discounts * drawn_credit))
    ]


LAMBDAS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
off_critic = torch.tensor([bias_and_variance(critic, decay) for decay in LAMBDAS])
true_critic = torch.tensor([bias_and_variance(V, decay) for decay in LAMBDAS])
assert true_critic[:, [0, 2]].abs().max() < 1e-12  # with the true V nothing is biased
assert off_critic[-1, 2] < 1e-12  # with lambda = 1 the gradient is not either
assert (off_critic[1:, 0] < off_critic[:-1, 0]).all()  # bias falls with lambda

# %% gae_figure
figure, (left, right) = panels(2, height=3.0)
left.plot(LAMBDAS, off_critic[:, 0], label="bias")
left.plot(LAMBDAS, off_critic[:, 1], label="spread")
left.set(xlabel="λ", ylabel="error of the advantage", ylim=(0, 0.8))
legend(left, ncols=2)
best_decay = {}
for count, colour in ((16, COLOURS[2]), (256, COLOURS[3])):
    error = (off_critic[:, 2] + off_critic[:, 3] / count).sqrt()
    best_decay[count] = LAMBDAS[error.argmin()]
    relative = error / error.min()
    right.plot(LAMBDAS, relative, color=colour, label=f"{count} trajectories")
right.set(xlabel="λ", ylabel="error of the gradient / least")
legend(right, ncols=2)
plt.show()
assert 0 < best_decay[16] < best_decay[256] < 1

# %% gae_values values
print(f"bias_0 = {off_critic[0, 0]:.2f}")
print(f"bias_1 = {off_critic[-1, 0]:.2f}")
print(f"spread_0 = {off_critic[0, 1]:.2f}")
print(f"spread_1 = {off_critic[-1, 1]:.2f}")
print(f"best_16 = {best_decay[16]:.1f}")
print(f"best_256 = {best_decay[256]:.1f}")
print(f"true_spread_0 = {true_critic[0, 1]:.2f}")
