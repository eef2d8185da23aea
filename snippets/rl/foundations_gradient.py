# %% setup
import matplotlib.pyplot as plt
import torch
from scipy.stats import chi2

from llm_tutorial.plotting import GREY, legend, panels, use_style
from llm_tutorial.rl.advantages import returns_to_go
from llm_tutorial.rl.mdp import corridor
from llm_tutorial.tables import table

torch.set_default_dtype(torch.float64)
use_style()

# %% exact
walk = corridor()  # cells 1 to 5 between two ends; actions: left, right
gamma = walk.discount  # 0.9
torch.manual_seed(0)
theta = torch.randn(7, 2, requires_grad=True)  # a logit for each cell and action
policy = theta.softmax(-1)

V, Q = walk.values(policy), walk.action_values(policy)  # (7,), (7, 2): exact
assert torch.allclose(V, (policy * Q).sum(-1))  # V is the mean of Q
objective = walk.objective(policy)  # J
(exact,) = torch.autograd.grad(objective, theta)  # (7, 2)
V, Q, policy = V.detach(), Q.detach(), policy.detach()

# %% draw
torch.manual_seed(1)
N = 20_000
drawn = walk.sample(policy, N)  # fields are (steps, trajectories)
discounts = gamma ** torch.arange(len(drawn.rewards))[:, None]  # gamma^t
to_go = returns_to_go(drawn.rewards, drawn.ended, gamma)  # G_t
assert abs(to_go[0].mean() - objective) < 4 * to_go[0].std() / N**0.5


# %% estimate
def estimates(weights):  # (steps, N): what each action is credited with
    g = torch.zeros(N, 7, 2)
    for state, action, weight in zip(
        drawn.states, drawn.actions, weights * drawn.valid, strict=True
    ):
        score = -policy[state]  # (N, 2): gradient of log pi, in the row of the state
        score[torch.arange(N), action] += 1
        g[torch.arange(N), state] += weight[:, None] * score
    return g  # of each trajectory; its mean estimates the gradient


right = estimates(discounts * to_go)


# %% unbiased
def distance(g):  # chi-squared test: is the mean of the estimates the exact gradient?
    moves = g[:, 1:6, 1]  # right, in each cell; left is the same with the sign turned
    off = moves.mean(0) - exact[1:6, 1]
    covariance = moves.T.cov() / N
    statistic = off @ torch.linalg.solve(covariance, off)
    largest = (off / covariance.diagonal().sqrt()).abs().max()
    return largest.item(), chi2.sf(statistic.item(), 5)


past = (discounts * drawn.rewards).cumsum(0)  # what was paid up to the step
judged = {
    "the return to go": right,
    "the whole return": estimates((discounts * drawn.rewards).sum(0)),
    "less a baseline, V": estimates(discounts * (to_go - V[drawn.states])),
    "wrong: gamma^t left out": estimates(to_go),
    "wrong: rewards up to the step": estimates(past),
    "wrong: a baseline that sees the action": estimates(
        discounts * (to_go - Q[drawn.states, drawn.actions])
    ),
}
rows = {name: distance(g) for name, g in judged.items()}
heads = ["credited with", "largest error / standard error", "p"]
table(rows, heads, [".1f", ".2g"]).show()
for name, (_, p) in rows.items():
    assert p < 1e-6 if name.startswith("wrong") else p > 0.01

# %% unbiased_figure
figure, (axes,) = panels(height=3.0)
cells = torch.arange(1, 6)
style = {"color": GREY, "markersize": 26, "markeredgewidth": 2}
axes.plot(cells, exact[1:6, 1], "_", label="exact", **style)
for shift, name, label in (
    (-0.12, "the return to go", "return to go"),
    (0.12, "wrong: gamma^t left out", "discount left out"),
):
    moves = judged[name][:, 1:6, 1]
    axes.errorbar(
        cells + shift, moves.mean(0), 2.58 * moves.std(0) / N**0.5, fmt=".", label=label
    )
axes.set(xlabel="cell", title="gradient, logit of right")
legend(axes)
plt.show()
