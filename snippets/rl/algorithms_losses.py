# %% setup
import math
from collections import defaultdict
from types import SimpleNamespace

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import logsigmoid
from trl import GRPOTrainer

from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import COLOURS, GREY, panels, use_style
from llm_tutorial.rl.dpo import dpo_loss
from llm_tutorial.rl.grpo import group_advantages, grpo_loss
from llm_tutorial.rl.kl import kl_estimate
from llm_tutorial.rl.ppo import clipped_loss
from llm_tutorial.rl.rloo import rloo_advantages
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()

# %% family_drawing
diagram = Diagram(width=24, height=17)
top = diagram.box(12, 15.6, ["REINFORCE", "credit: reward − running mean"], width=15)
ppo = diagram.box(
    5.4, 10.6, ["PPO", "credit: from a critic", "ratio clipped"], 9.6, colour=COLOURS[0]
)
rloo = diagram.box(
    18.6,
    10.6,
    ["RLOO", "credit: reward −", "others of the group"],
    9.6,
    colour=COLOURS[1],
)
grpo = diagram.box(
    12,
    5.6,
    ["GRPO, DAPO, Dr. GRPO", "group as in RLOO,", "ratio as in PPO"],
    11.6,
    colour=COLOURS[2],
)
dpo = diagram.box(5.4, 1.6, ["DPO", "pairs, no sampling"], 9.6, colour=GREY)
fine = diagram.box(18.6, 1.6, ["fine-tuning", "on what was paid"], 9.6, colour=GREY)
for start, end in ((top, ppo), (top, rloo), (ppo, grpo), (rloo, grpo)):
    diagram.arrow(start, end)
plt.show()

# %% clip
advantage = torch.tensor([1.0, -1.0])
ratio = torch.linspace(0.4, 1.8, 141)[:, None]
loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)  # (3)
library = clipped_loss(ratio.log(), torch.zeros(1), advantage)
torch.testing.assert_close(loss, library)

# %% clip_figure
figure, axes = panels(columns=2, height=2.4, sharey=False)
for axis, column, title in zip(
    axes, loss.T, ("better than expected", "worse than expected"), strict=True
):
    axis.plot(ratio[:, 0], -column, label="objective")
    axis.axvspan(0.8, 1.2, color=GREY, alpha=0.15)
    axis.set(xlabel="ratio", title=title)
axes[0].set_ylabel("objective")
plt.show()

# %% batch
lengths = torch.tensor([6, 1, 3, 5, 2, 6, 4, 1])  # tokens of eight answers
mask = torch.arange(6) < lengths[:, None]  # (answers, tokens)
made_up = torch.tensor(
    [[0.0, 1.0, 0.5, 0.2], [1.0, 1.0, 1.0, 0.4]]
)  # (prompts, answers)
old = -3 * torch.rand(8, 6) * mask  # log-probabilities when they were written
reference = -3 * torch.rand(8, 6) * mask
now = (old + 0.3 * torch.randn(8, 6)).requires_grad_()  # and now
longest, beta = 10, 0.05

# %% grpo_in_full
deviation = made_up - made_up.mean(1, keepdim=True)
advantages = (deviation / (made_up.std(1, keepdim=True) + 1e-4)).flatten()  # (answers,)
ratio = (now - old).exp()
gain = torch.minimum(
    ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None]
)
k3 = (reference - now).exp() - (reference - now) - 1
per_token = (-gain + beta * k3) * mask  # (answers, tokens)
loss = {
    "grpo": (per_token.sum(1) / mask.sum(1)).mean(),
    "dapo": per_token.sum() / mask.sum(),
    "dr_grpo": per_token.sum() / (len(mask) * longest),
}
torch.testing.assert_close(group_advantages(made_up).flatten(), advantages)


# %% trl
def trl_loss(loss_type):
    """TRL's own loss, given log-probabilities in place of a model."""
    args = SimpleNamespace(
        delta=None, use_bias_correction_kl=False, steps_per_generation=1
    )
    devices = SimpleNamespace(
        num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
    )
    trainer = SimpleNamespace(
        args=args,
        model=SimpleNamespace(training=True),
        accelerator=devices,
        _metrics=defaultdict(lambda: defaultdict(list)),
        loss_type=loss_type,
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=0.2,
        importance_sampling_level="token",
        max_completion_length=longest,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            now,
            torch.zeros(8, 6),
            None,
        ),
    )
    ids = torch.zeros(8, 6, dtype=torch.long)
    names = ("prompt_ids", "prompt_mask", "completion_ids")
    inputs = dict.fromkeys(names, ids) | {
        "completion_mask": mask.int(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    return GRPOTrainer._compute_loss(trainer, trainer.model, inputs)


# %% equal
rows = {}
for name in loss:
    library = grpo_loss(
        now, old, advantages, mask, longest, name,
        reference_log_probs=reference, kl_weight=beta,
    )  # fmt: skip
    theirs = trl_loss(name)
    assert abs(library - loss[name]) < 1e-6
    assert abs(theirs - loss[name]) < 1e-5
    rows[name] = [each.item() for each in (loss[name], library, theirs)]
table(rows, ["normalisation", "cell above", "library", "TRL"], ".5f").show()

# %% normalisations
rows = {}
for name in loss:
    (gradient,) = torch.autograd.grad(loss[name], per_token, retain_graph=True)
    rows[name] = [gradient[1, 0].item(), gradient[0, 0].item()]
table(rows, ["normalisation", "answer of 1 token", "answer of 6 tokens"], ".4f").show()
assert math.isclose(rows["grpo"][0], 6 * rows["grpo"][1], rel_tol=1e-5)
assert math.isclose(rows["dapo"][0], rows["dapo"][1], rel_tol=1e-5)

# %% table_of_answers
SENTENCES, TOKENS = 300, 8
per_token = torch.tensor([-0.90] + [-1.07] * SENTENCES)  # a list, then sentences
log_prob = TOKENS * per_token
rest = 1 - log_prob.exp().sum()  # all answers that miss a word, as one row
log_prob = torch.cat([log_prob, rest.log()[None]])
per_token = torch.cat([per_token, torch.tensor([-1.07])])
paid = torch.tensor([1.0] * (SENTENCES + 1) + [0.8])


def improve(beta=0.0, likely=0.0, variety=0.0, steps=600, seed=0):
    """RLOO on a table of logits; returns the policy."""
    torch.manual_seed(seed)
    logits = log_prob.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(steps):
        policy = logits.log_softmax(0)
        answer = policy.detach().exp().multinomial(64, replacement=True)
        reward = paid[answer] + likely * per_token[answer]
        reward -= variety * (answer.bincount(minlength=len(paid))[answer] > 1)
        reward -= beta * (policy.detach() - log_prob)[answer]
        advantage = rloo_advantages(reward[None])[0]
        optimizer.zero_grad()
        (-(advantage * policy[answer]).mean()).backward()
        optimizer.step()
    return logits.detach().softmax(0)


# %% collapse
CHOICES = {
    "the reward alone": {},
    "+ 0.3 × mean log-probability": {"likely": 0.3},
    "− 0.2 for an answer drawn twice": {"variety": 0.2},
    "− 0.005 × KL": {"beta": 0.005},
    "− 0.02 × KL": {"beta": 0.02},
    "− 0.2 × KL": {"beta": 0.2},
}


def described(policies):
    """Full reward and the list, in per cent; answers that count, exp of the entropy."""
    full = sum(p[:-1].sum().item() for p in policies) / len(policies)
    lists = sum(p[0].item() for p in policies) / len(policies)
    entropies = [-(p * p.clamp(min=1e-30).log()).sum().item() for p in policies]
    return [100 * full, 100 * lists, sum(map(math.exp, entropies)) / len(policies)]


found = {
    name: [improve(**choice, seed=seed) for seed in range(3)]
    for name, choice in CHOICES.items()
}
rows = {name: described(policies) for name, policies in found.items()}
assert sum(policy[0] > 0.5 for policy in found["the reward alone"]) == 2
optimum = (log_prob + paid / 0.02).softmax(0)
rows["optimum of − 0.02 × KL"] = described([optimum])
columns = ["", "full reward, %", "the list, %", "different answers"]
table(rows, columns, ".0f").show()
assert rows["− 0.02 × KL"][2] > 200 > 10 > rows["the reward alone"][2]

# %% kl
torch.manual_seed(0)
p = torch.randn(50).double().log_softmax(0)  # the policy
step = torch.randn(50).double()
q = (p + step).log_softmax(0)  # a reference far away
near = (p + 0.1 * step).log_softmax(0)  # and one near by
exact = (p.exp() * (p - q)).sum()
logits = p.clone().requires_grad_()


def spread(reference, name):
    """Standard deviation of one sample's estimate, in multiples of the KL."""
    estimate = kl_estimate(p, reference, name)
    mean = (p.exp() * estimate).sum()
    variance = (p.exp() * (estimate - mean).square()).sum()
    return (variance.sqrt() / (p.exp() * (p - reference)).sum()).item()


def gradient(of):
    return torch.autograd.grad(of(logits.log_softmax(0)), logits)[0]


right = gradient(lambda policy: (policy.exp() * (policy - q)).sum())  # of KL(p, q)
other = gradient(lambda policy: (q.exp() * (q - policy)).sum())  # of KL(q, p)
rows, found = {}, {}
for name in ("k1", "k2", "k3"):
    bias = ((p.exp() * kl_estimate(p, q, name)).sum() / exact - 1).item()
    found[name] = gradient(
        lambda policy, name=name: (p.exp() * kl_estimate(policy, q, name)).sum()
    )
    error = ((found[name] - right).norm() / right.norm()).item()
    rows[name] = [100 * bias, spread(near, name), spread(q, name), error]
assert abs(rows["k1"][0]) < 1e-6 and abs(rows["k3"][0]) < 1e-6  # no bias
assert found["k1"].abs().max() < 1e-6  # no gradient
torch.testing.assert_close(found["k2"], right)
torch.testing.assert_close(found["k3"], other)
columns = [
    "estimate",
    "bias, %",
    "spread, near",
    "spread, far",
    "error of the gradient",
]
table(rows, columns, ["+.1f", ".1f", ".1f", ".2f"]).show()

# %% dpo
chosen, rejected = torch.tensor([-9.0, -12.0]), torch.tensor([-8.0, -15.0])
chosen_before, rejected_before = (
    torch.tensor([-10.0, -12.5]),
    torch.tensor([-8.0, -14.0]),
)
gained = (chosen - chosen_before) - (rejected - rejected_before)
loss_of_pairs = -logsigmoid(0.1 * gained).mean()  # (10)
before = (chosen, rejected, chosen_before, rejected_before)
assert abs(loss_of_pairs - dpo_loss(*before, beta=0.1)) < 1e-6
