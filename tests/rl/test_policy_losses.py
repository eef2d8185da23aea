"""Losses and advantages against TRL on the same batch, PPO against its paper's formula, and what a wrong sign would do."""

import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from llm_tutorial.rl.dpo import dpo_loss, margins
from llm_tutorial.rl.grpo import averaged, group_advantages, grpo_loss
from llm_tutorial.rl.kl import kl_estimate
from llm_tutorial.rl.methods import credited, grpo, rloo
from llm_tutorial.rl.policy_gradient import policy_gradient_loss, running_baseline_advantages
from llm_tutorial.rl.ppo import Critic, clipped_loss, token_advantages, value_loss
from llm_tutorial.rl.rloo import rloo_advantages

ANSWERS, TOKENS, LONGEST = 8, 6, 10


@pytest.fixture
def batch() -> SimpleNamespace:
    """Log-probabilities of eight answers in two groups under three policies, with answers of 1 to 6 tokens."""
    torch.manual_seed(0)
    lengths = torch.tensor([6, 1, 3, 5, 2, 6, 4, 1])
    mask = torch.arange(TOKENS) < lengths[:, None]
    drawn = [-torch.rand(ANSWERS, TOKENS, dtype=torch.float64).mul(3) * mask for _ in range(2)]
    now = drawn[0] + 0.3 * torch.randn(ANSWERS, TOKENS, dtype=torch.float64) * mask
    rewards = torch.tensor([[0.0, 1.0, 0.5, 0.2], [1.0, 1.0, 1.0, 0.4]], dtype=torch.float64)
    return SimpleNamespace(mask=mask, old=drawn[0], reference=drawn[1], now=now.requires_grad_(), rewards=rewards)


def trl_loss(trainer: type, batch: SimpleNamespace, advantages: Tensor, **settings: object) -> Tensor:
    """TRL's own ``_compute_loss`` on given log-probabilities, without a model behind it."""
    args = SimpleNamespace(delta=None, use_bias_correction_kl=False)
    metrics = {mode: defaultdict(list) for mode in ("train", "eval")}
    accelerator = SimpleNamespace(
        num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, gather_for_metrics=lambda x: x
    )
    self = SimpleNamespace(
        model=SimpleNamespace(training=True), args=args, _metrics=metrics, accelerator=accelerator, aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=0.0,
        epsilon_low=0.2, epsilon_high=0.2, use_vllm=False, current_gradient_accumulation_steps=1,
        max_completion_length=LONGEST, _entropy_bonus_enabled=False, loss_type="grpo",
        _get_per_token_logps_and_entropies=lambda *_, **__: (batch.now, torch.zeros_like(batch.now), None),
    )  # fmt: skip
    args.steps_per_generation = 1
    vars(self).update(settings)
    ids = torch.zeros(ANSWERS, TOKENS, dtype=torch.long)
    inputs = {
        "prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": batch.mask.int(),
        "advantages": advantages, "old_per_token_logps": batch.old, "ref_per_token_logps": batch.reference,
        "old_logps": batch.old.sum(1), "num_items_in_batch": batch.mask.sum(),
    }  # fmt: skip
    return trainer._compute_loss(self, self.model, inputs)


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(loss, of)[0]


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_grpo_and_its_normalisations_are_those_of_trl(batch: SimpleNamespace, name: str, beta: float) -> None:
    from trl import GRPOTrainer

    high = 0.28 if name == "dapo" else 0.2
    advantages = group_advantages(batch.rewards, scale=name != "dr_grpo").flatten()
    ours = grpo_loss(
        batch.now, batch.old, advantages, batch.mask, LONGEST, name, high=high,
        reference_log_probs=batch.reference, kl_weight=beta,
    )  # fmt: skip
    theirs = trl_loss(GRPOTrainer, batch, advantages, loss_type=name, epsilon_high=high, beta=beta)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch.now), gradient(theirs, batch.now), atol=1e-5, rtol=0)


def test_the_loss_of_rloo_is_that_of_trl_where_policy_and_sampler_are_one(batch: SimpleNamespace) -> None:
    from trl import RLOOTrainer

    batch.old = batch.now.detach()
    advantages = rloo_advantages(batch.rewards).flatten()
    ours, theirs = policy_gradient_loss(batch.now * batch.mask, advantages), trl_loss(RLOOTrainer, batch, advantages)
    # The values differ by a constant (a log-probability, a ratio of 1); a step is taken by the gradients.
    torch.testing.assert_close(gradient(ours, batch.now), gradient(theirs, batch.now), atol=1e-5, rtol=0)


def test_advantages_of_groups_are_those_in_trls_source(batch: SimpleNamespace) -> None:
    """The lines of ``_generate_and_score_completions``; ``test_policy_trl`` runs the trainers themselves."""
    from trl.trainer.utils import nanstd

    flat = batch.rewards.flatten()
    mean, spread = (f(batch.rewards, dim=1).repeat_interleave(4) for f in (torch.nanmean, nanstd))
    expected = (flat - mean) / (spread + 1e-4)
    torch.testing.assert_close(group_advantages(batch.rewards).flatten(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(group_advantages(batch.rewards, scale=False).flatten(), flat - mean, atol=1e-5, rtol=0)
    others = (batch.rewards.nansum(1, keepdim=True) - batch.rewards) / 3
    torch.testing.assert_close(rloo_advantages(batch.rewards), batch.rewards - others, atol=1e-5, rtol=0)


def test_dpo_is_that_of_trl() -> None:
    from trl import DPOTrainer

    torch.manual_seed(0)
    chosen, rejected, known_chosen, known_rejected = (-10 * torch.rand(4, dtype=torch.float64) for _ in range(4))
    log_probs = torch.zeros(8, 3, dtype=torch.float64)
    log_probs[:, 1] = torch.cat([chosen, rejected])
    ones = torch.ones(8, 4, dtype=torch.long)
    metrics = {"train": defaultdict(list)}
    self = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=SimpleNamespace(
            device="cpu", gather_for_metrics=lambda x: x, gather=lambda x: x, reduce=lambda x, *_, **__: x,
        ), aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True, f_divergence_type="reverse_kl",
        loss_types=["sigmoid"], loss_weights=[1.0], beta=0.3, label_smoothing=0.0, use_weighting=False,
        _metrics=metrics, args=SimpleNamespace(), _compute_loss_liger=None, _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    outputs = SimpleNamespace(
        log_probs=log_probs, entropy=log_probs,
        mean_logits=log_probs, is_top1=ones[:, 1:].bool(),
    )  # fmt: skip
    inputs = {
        "input_ids": ones, "attention_mask": ones, "completion_mask": ones,
        "ref_chosen_logps": known_chosen, "ref_rejected_logps": known_rejected,
    }  # fmt: skip
    theirs = DPOTrainer._compute_loss(self, lambda **_: outputs, inputs, return_outputs=False)
    ours = dpo_loss(chosen, rejected, known_chosen, known_rejected, beta=0.3)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_dpo_pulls_the_better_answer_up_and_the_worse_one_down() -> None:
    chosen, rejected = torch.tensor([-5.0], requires_grad=True), torch.tensor([-4.0], requires_grad=True)
    dpo_loss(chosen, rejected, torch.tensor([-5.0]), torch.tensor([-4.0]), beta=0.5).backward()
    assert chosen.grad.item() == pytest.approx(-0.25)  # beta * sigmoid(-0)
    assert rejected.grad.item() == pytest.approx(0.25)
    assert margins(chosen, rejected, chosen, rejected).item() == 0


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_ppo_is_the_formula_of_its_paper(advantage: float) -> None:
    """Equation 7, written as the paper has it, and its gradient: 0 where the ratio has gone far enough."""
    ratio = torch.tensor([0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 2.0], dtype=torch.float64)
    log_probs = ratio.log().requires_grad_()
    loss = clipped_loss(log_probs, torch.zeros_like(ratio), torch.tensor(advantage, dtype=torch.float64))
    expected = [-min(r * advantage, max(0.8, min(1.2, r)) * advantage) for r in ratio.tolist()]
    assert loss.tolist() == pytest.approx(expected)
    flows = gradient(loss.sum(), log_probs) != 0
    assert flows.tolist() == [r < 1.2 if advantage > 0 else r > 0.8 for r in ratio.tolist()]


def test_ppos_first_step_is_the_policy_gradient(batch: SimpleNamespace) -> None:
    advantages = torch.randn(ANSWERS, dtype=torch.float64)
    clipped = (clipped_loss(batch.now, batch.now.detach(), advantages[:, None]) * batch.mask).sum() / ANSWERS
    plain = policy_gradient_loss(batch.now * batch.mask, advantages)
    torch.testing.assert_close(gradient(clipped, batch.now), gradient(plain, batch.now))


def test_token_advantages_without_a_critic_are_reward_to_go_less_penalties(batch: SimpleNamespace) -> None:
    penalty = 0.1 * (batch.old - batch.reference)
    rewards = batch.rewards.flatten()
    advantages, returns = token_advantages(rewards, penalty, torch.zeros_like(penalty), batch.mask, decay=1.0)
    for row, count in enumerate(batch.mask.sum(1).tolist()):
        for t in range(count):
            expected = rewards[row] - penalty[row, t:count].sum()
            assert advantages[row, t].item() == pytest.approx(expected.item())
    assert (advantages[~batch.mask] == 0).all()
    torch.testing.assert_close(advantages, returns)


def test_a_good_critic_leaves_no_advantage(batch: SimpleNamespace) -> None:
    values = batch.rewards.flatten()[:, None].expand(-1, TOKENS) * batch.mask
    advantages, _ = token_advantages(batch.rewards.flatten(), torch.zeros_like(values), values, batch.mask)
    assert advantages.abs().max() < 1e-12


def test_the_critic_learns_the_mean_return() -> None:
    torch.manual_seed(0)
    critic, hidden = Critic(4), torch.randn(16, 3, 4)
    mask, returns = torch.ones(16, 3, dtype=torch.bool), torch.full((16, 3), 0.7)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        value_loss(critic(hidden), returns, mask).backward()
        optimizer.step()
    assert value_loss(critic(hidden), returns, mask) < 1e-3


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_estimators_as_trl_and_by_an_exact_sum(estimator: str) -> None:
    """k1 and k3 have the exact mean; k2 does not. TRL has k3 in GRPO's loss and k1 in RLOO's reward."""
    torch.manual_seed(0)
    policy, reference = (torch.randn(6, dtype=torch.float64).log_softmax(0) for _ in range(2))
    exact = (policy.exp() * (policy - reference)).sum()
    estimate = kl_estimate(policy, reference, estimator)
    mean = (policy.exp() * estimate).sum()
    assert math.isclose(mean, exact, rel_tol=1e-12) == (estimator != "k2")
    if estimator == "k3":
        torch.testing.assert_close(estimate, (reference - policy).exp() - (reference - policy) - 1)
        assert (estimate >= 0).all()


def test_gradients_of_the_kl_estimators_in_a_loss() -> None:
    """k2's is the gradient of the KL, k1's is 0 on average, k3's is that of another divergence."""
    torch.manual_seed(0)
    logits = torch.randn(6, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(6, dtype=torch.float64).log_softmax(0)
    exact = gradient((logits.softmax(0) * (logits.log_softmax(0) - reference)).sum(), logits)
    found = {}
    for estimator in ("k1", "k2", "k3"):
        policy = logits.log_softmax(0)
        found[estimator] = gradient((policy.exp().detach() * kl_estimate(policy, reference, estimator)).sum(), logits)
    torch.testing.assert_close(found["k2"], exact)
    assert found["k1"].abs().max() < 1e-12
    assert (found["k3"] - exact).abs().max() > 0.01


def test_the_three_normalisations_weigh_a_token_of_a_long_answer_differently() -> None:
    """A token of a short answer against one of a long one: GRPO 3 : 1, DAPO and Dr. GRPO 1 : 1."""
    mask = torch.tensor([[True, True, True], [True, False, False]])
    weights = {}
    for name in ("grpo", "dapo", "dr_grpo"):
        per_token = torch.zeros(2, 3, requires_grad=True)
        grad = gradient(averaged(per_token, mask, name, longest=5), per_token)
        weights[name] = (grad[1, 0] / grad[0, 0]).item()
        assert (grad[~mask] == 0).all()
    assert weights == pytest.approx({"grpo": 3.0, "dapo": 1.0, "dr_grpo": 1.0})


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo"])
def test_parts_of_a_batch_sum_to_the_whole(batch: SimpleNamespace, name: str) -> None:
    advantages, facts = torch.randn(ANSWERS, dtype=torch.float64), {"answers": ANSWERS, "tokens": int(batch.mask.sum())}
    whole = grpo_loss(batch.now, batch.old, advantages, batch.mask, LONGEST, name)
    parts = [
        grpo_loss(batch.now[r], batch.old[r], advantages[r], batch.mask[r], LONGEST, name, **facts)
        for r in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize(
    "advantages", [group_advantages, rloo_advantages, lambda r: running_baseline_advantages(r, [])]
)
def test_a_group_of_equal_rewards_teaches_nothing_and_makes_no_nan(advantages) -> None:
    assert (advantages(torch.full((1, 4), 0.3)).abs() < 1e-6).all()


@pytest.mark.parametrize(
    "advantages", [group_advantages, rloo_advantages, lambda r: running_baseline_advantages(r, [])]
)
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_reward_that_is_no_number_is_named(advantages, wrong: float) -> None:
    with pytest.raises(ValueError, match=r"the reward at \[0, 1\] is (nan|inf)(.|\n)*有限的数"):
        advantages(torch.tensor([[0.0, wrong, 1.0]]))


def test_a_group_of_one_is_refused() -> None:
    for advantages in (group_advantages, rloo_advantages):
        with pytest.raises(ValueError, match="two answers or more\n一组至少要有两个回答"):
            advantages(torch.ones(3, 1))


def test_a_leave_one_out_baseline_does_not_depend_on_its_own_answer() -> None:
    rewards = torch.tensor([[0.0, 1.0, 0.5]])
    changed = rewards.clone()
    changed[0, 0] = 5.0
    gained = rloo_advantages(changed)[0, 0] - rloo_advantages(rewards)[0, 0]
    assert gained.item() == pytest.approx(5.0)  # the whole gain; with GRPO's mean of all it would be 2/3 of it


def test_one_step_of_each_loss_raises_the_better_of_two_answers() -> None:
    """What a wrong sign would turn round."""
    for loss_of in (
        lambda now: policy_gradient_loss(now, torch.tensor([1.0, -1.0])),
        lambda now: grpo_loss(now, now.detach(), torch.tensor([1.0, -1.0]), torch.ones(2, 1).bool(), 1),
        lambda now: dpo_loss(now[:1, 0], now[1:, 0], *torch.full((2, 1), -0.69)),
    ):
        logits = nn.Parameter(torch.zeros(2))
        now = logits.log_softmax(0)[:, None]
        loss_of(now).backward()
        assert logits.grad[0] < 0 < logits.grad[1]


@pytest.mark.parametrize("method", [rloo(kl_in_reward=0.5), grpo("dr_grpo", kl_in_reward=0.5)])
def test_a_kl_in_the_reward_takes_credit_from_what_has_moved_away(method) -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    ratio = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 9.0, 9.0]])  # log of policy to reference; 9 is padding
    found, _ = credited(method, torch.ones(1, 2), [], ratio, mask)
    kl = torch.tensor([3.0, -1.0])  # summed over an answer's own tokens
    right = -0.5 * (kl - kl.mean()) * (2 if method.name == "RLOO" else 1)
    torch.testing.assert_close(found, right)
    assert found[0] < 0 < found[1]
