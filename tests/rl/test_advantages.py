"""Returns and advantages are those of the definitions and of the recurrence that public code uses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llm_tutorial.rl.advantages import check_rewards, gae, normalised, returns_to_go


def public_gae(rewards: Tensor, values: Tensor, last: Tensor, starts: Tensor, done: Tensor, gamma: float, lam: float):
    """As in Stable-Baselines3 and CleanRL: rows know whether a trajectory starts with them; no limit but the end."""
    advantages, running = torch.zeros_like(rewards), torch.zeros_like(last)
    for t in reversed(range(len(rewards))):
        going_on = 1 - (done if t == len(rewards) - 1 else starts[t + 1]).double()
        following = last if t == len(rewards) - 1 else values[t + 1]
        delta = rewards[t] + gamma * following * going_on - values[t]
        advantages[t] = running = delta + gamma * lam * going_on * running
    return advantages


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_that_of_public_code(seed: int, gamma: float, lam: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, 12, 3, dtype=torch.float64, generator=generator)
    last = torch.randn(3, dtype=torch.float64, generator=generator)
    ended = torch.rand(12, 3, generator=generator) < 0.2
    following = torch.cat([values[1:], last[None]])
    ours = gae(rewards, values, following, ended, torch.zeros_like(ended), gamma, lam)
    starts = torch.cat([torch.ones(1, 3, dtype=torch.bool), ended[:-1]])
    assert torch.allclose(ours, public_gae(rewards, values, last, starts, ended[-1], gamma, lam))


def test_gae_is_the_weighted_mean_of_all_horizons() -> None:
    torch.manual_seed(0)
    rewards, values = torch.randn(2, 6, dtype=torch.float64)
    following = torch.cat([values[1:], torch.zeros(1)]).double()
    end = torch.arange(6) == 5
    gamma, lam = 0.9, 0.7
    wanted = torch.zeros(6, dtype=torch.float64)
    for t in range(6):
        for k in range(1, 400):  # beyond the end nothing comes
            steps = min(k, 6 - t)
            real = sum(gamma**i * rewards[t + i] for i in range(steps))
            rest = gamma**k * values[t + k] if t + k < 6 else 0.0
            wanted[t] += (1 - lam) * lam ** (k - 1) * (real + rest - values[t])
    ours = gae(rewards, values, following, end, torch.zeros_like(end), gamma, lam)
    assert torch.allclose(ours, wanted, atol=1e-9)


def test_lambda_one_is_the_return_less_the_value() -> None:
    torch.manual_seed(0)
    rewards, values = torch.randn(2, 9, dtype=torch.float64)
    following, end = torch.cat([values[1:], torch.zeros(1)]).double(), torch.arange(9) % 3 == 2
    credit = gae(rewards, values, following, end, torch.zeros_like(end), 0.9, 1.0)
    assert torch.allclose(credit, returns_to_go(rewards, end, 0.9) - values)


def test_a_limit_is_bootstrapped_over_and_an_end_is_not() -> None:
    """Half wrong: treating one as the other changes the credit by the discounted value."""
    one, no, yes = torch.ones(1), torch.tensor([False]), torch.tensor([True])
    ended = gae(one, 0 * one, 100 * one, yes, no, 0.99, 0.95)
    cut = gae(one, 0 * one, 100 * one, no, yes, 0.99, 0.95)
    assert ended == 1
    assert cut.item() == pytest.approx(100)
    assert gae(one, 0 * one, 100 * one, yes, yes, 0.99, 0.95) == 1  # both at once: it is over


def test_nothing_flows_from_one_trajectory_into_another() -> None:
    rewards, end = torch.tensor([0.0, 5.0]), torch.tensor([True, True])
    no, zero = torch.tensor([False, False]), torch.zeros(2)
    for terminated, truncated in ((end, no), (no, end)):
        assert gae(rewards, zero, zero, terminated, truncated)[0] == 0
    assert returns_to_go(rewards, end)[0] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sixteen_bits_stay_sixteen_bits(dtype: torch.dtype) -> None:
    rewards, end = torch.ones(4, 2, dtype=dtype), torch.zeros(4, 2, dtype=torch.bool)
    assert returns_to_go(rewards, end, 0.5).dtype == dtype
    assert gae(rewards, rewards, rewards, end, end).dtype == dtype
    assert normalised(rewards).abs().max() == 0


def test_normalised_advantages_of_one_or_of_equals_are_zero() -> None:
    assert normalised(torch.tensor([3.0])).tolist() == [0.0]
    for value in (-2.0, 0.7, 1e-3):  # of 0.7 the mean is rounded
        assert normalised(torch.full((8,), value)).abs().max() < 1e-2
    spread = normalised(torch.tensor([1.0, 2.0, 6.0]))
    assert spread.mean().abs() < 1e-6
    assert spread.square().mean().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_no_number_is_refused_with_its_place(value: float) -> None:
    rewards, end = torch.tensor([[0.0, 1.0], [value, 0.0]]), torch.zeros(2, 2, dtype=torch.bool)
    for function in (
        lambda: check_rewards(rewards),
        lambda: returns_to_go(rewards, end),
        lambda: gae(rewards, 0 * end, 0 * end, end, end),
    ):
        with pytest.raises(ValueError, match=r"(?s)\[1, 0\].*有限的数"):
            function()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="形状不一致"):
        returns_to_go(torch.zeros(3), torch.zeros(4, dtype=torch.bool))
    end = torch.zeros(3, dtype=torch.bool)
    with pytest.raises(ValueError, match="next_values"):
        gae(torch.zeros(3), torch.zeros(3), torch.zeros(3, 1), end, end)
