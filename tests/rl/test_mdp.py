"""The corridor is solved exactly: against simulation, against enumeration, and against finite differences."""

import pytest
import torch

from llm_tutorial.rl.mdp import corridor

POLICY = torch.tensor([[0.3, 0.7]] * 7, dtype=torch.float64)


def test_values_are_the_mean_returns_of_what_is_drawn() -> None:
    walk = corridor()
    drawn = walk.sample(POLICY, 20_000, torch.Generator().manual_seed(0))
    discounts = walk.discount ** torch.arange(len(drawn.rewards))[:, None]
    returns = (discounts * drawn.rewards).sum(0)
    error = returns.std() / len(returns) ** 0.5
    assert abs(returns.mean() - walk.objective(POLICY)) < 4 * error
    wrong = walk.objective(POLICY) * 0.9
    assert abs(returns.mean() - wrong) > 4 * error  # a tenth off would be seen


def test_values_obey_bellman() -> None:
    walk = corridor(length=4, slip=0.1, discount=0.95)
    policy = torch.rand(6, 2, dtype=torch.float64).softmax(-1)
    values, action_values = walk.values(policy), walk.action_values(policy)
    assert torch.allclose(values, (policy * action_values).sum(-1))
    assert values[0] == values[-1] == 0  # nothing follows an end


def test_the_gradient_is_that_of_finite_differences() -> None:
    walk, theta = corridor(), torch.zeros(7, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: walk.objective(logits.softmax(-1)), theta)


def test_occupancy_counts_discounted_visits() -> None:
    walk = corridor()
    drawn = walk.sample(POLICY, 20_000, torch.Generator().manual_seed(1))
    discounts = walk.discount ** torch.arange(len(drawn.rewards))[:, None]
    visits = torch.zeros(7, dtype=torch.float64)
    visits.index_add_(0, drawn.states.flatten(), (discounts * drawn.valid).double().flatten())
    assert torch.allclose(visits / 20_000, walk.occupancy(POLICY), atol=0.02)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_every_trajectory_ends_at_an_end_and_nothing_is_paid_after_it(length: int) -> None:
    walk = corridor(length)
    drawn = walk.sample(torch.full((length + 2, 2), 0.5, dtype=torch.float64), 50)
    assert drawn.ended.sum(0).tolist() == [1] * 50
    assert not drawn.rewards[~drawn.valid].any()
    assert walk.terminal[drawn.next_states[drawn.ended]].all()
