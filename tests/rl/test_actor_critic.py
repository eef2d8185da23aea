"""The two methods: what their losses are, what they ignore, and that they learn."""

import gymnasium
import numpy as np
import torch

from llm_tutorial.rl.actor_critic import actor_critic, actor_critic_loss
from llm_tutorial.rl.reinforce import reinforce, reinforce_loss
from llm_tutorial.rl.rollout import Agent, Collector, Rollout, mean_return, whole_episodes


def cartpole(copies: int, limit: int = 500) -> gymnasium.vector.VectorEnv:
    return gymnasium.make_vec("CartPole-v1", num_envs=copies, max_episode_steps=limit)


def spoiled(rollout: Rollout, field: str) -> Rollout:
    """The same, with nonsense in the steps that are not valid."""
    values = getattr(rollout, field).clone()
    values[~rollout.valid] = 1 - values[~rollout.valid]
    return Rollout(**{**vars(rollout), field: values})


def test_steps_that_only_reset_are_not_learned_from() -> None:
    torch.manual_seed(0)
    agent = Agent(4, 2)
    rollout = Collector(cartpole(8), seed=0).steps(agent, 60)
    assert (~rollout.valid).any()
    assert not (rollout.valid[1:] & rollout.ended[:-1]).any()  # the step after an end is a reset
    loss = actor_critic_loss(agent, rollout)
    assert torch.allclose(loss, actor_critic_loss(agent, spoiled(rollout, "actions")))
    assert not torch.allclose(
        loss, actor_critic_loss(agent, Rollout(**{**vars(rollout), "actions": 1 - rollout.actions}))
    )


def test_whole_episodes_count_once_for_each_copy() -> None:
    torch.manual_seed(0)
    rollout = whole_episodes(cartpole(8), Agent(4, 2), seed=0)
    assert (rollout.valid & rollout.ended).sum(0).tolist() == [1] * 8
    lengths = rollout.valid.sum(0)
    assert len(set(lengths.tolist())) > 1
    returns = (rollout.rewards * rollout.valid).sum(0)
    assert torch.equal(returns, lengths.float())  # one for each step


def test_what_was_paid_more_becomes_more_probable_and_a_wrong_sign_would_show() -> None:
    for better in (0, 1):
        torch.manual_seed(0)
        agent, flag = Agent(4, 2), torch.tensor([[True, True]])
        actions = torch.tensor([[0, 1]])  # one step each of two copies, from the same state
        state = torch.ones(1, 2, 4)
        for loss_of, more in ((reinforce_loss, 5), (actor_critic_loss, 0)):  # the critic does not know of more yet
            rewards = (actions == better).float() + more
            rollout = Rollout(state, actions, rewards, state, flag, ~flag, flag)
            before = agent.policy(state[0, 0]).probs[better].item()
            agent.zero_grad()
            loss_of(agent, rollout).backward()
            with torch.no_grad():
                for p in agent.actor.parameters():
                    p -= 1e-3 * p.grad
            assert agent.policy(state[0, 0]).probs[better] > before


def test_numpy_draws_from_the_same_policy() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    agent = Agent(4, 3)
    with torch.no_grad():
        agent.actor[-1].weight *= 20  # far from even
    state = np.tile(np.float32([0.5, -1.0, 2.0, 0.1]), (40_000, 1))
    share = np.bincount(agent.act(state), minlength=3) / len(state)
    wanted = agent.policy(torch.from_numpy(state[0])).probs.detach().numpy()
    assert abs(wanted - 1 / 3).max() > 0.1
    assert np.allclose(share, wanted, atol=0.015)


def test_a_limit_counts_as_the_end_only_by_mistake() -> None:
    torch.manual_seed(0)
    agent = Agent(4, 2, scale=50)
    rollout = Collector(cartpole(4, limit=5), seed=0).steps(agent, 12)
    assert rollout.truncated.any()
    assert not rollout.terminated.any()
    right, mistaken = actor_critic_loss(agent, rollout), actor_critic_loss(agent, rollout, limit_ends=True)
    assert not torch.allclose(right, mistaken)
    nothing = torch.zeros_like(rollout.truncated)
    ends = Rollout(**{**vars(rollout), "terminated": rollout.truncated, "truncated": nothing})
    assert torch.allclose(mistaken, actor_critic_loss(agent, ends))
    assert torch.allclose(mistaken, actor_critic_loss(agent, ends, limit_ends=True))  # an end is one either way


def test_the_loss_of_reinforce_is_its_formula_with_and_without_baseline() -> None:
    torch.manual_seed(0)
    agent, valid = Agent(4, 2), torch.tensor([[True, True], [True, False]])  # two steps, and one
    states, actions = torch.randn(2, 2, 4), torch.tensor([[0, 1], [1, 0]])
    rewards, ended = torch.tensor([[1.0, 5.0], [2.0, 9.0]]), torch.tensor([[False, True], [True, True]])
    rollout = Rollout(states, actions, rewards, states, ended, torch.zeros_like(ended), valid)
    log_probs = agent.policy(states).log_prob(actions)
    first, last, other = log_probs[0, 0], log_probs[1, 0], log_probs[0, 1]
    wanted = -(1.5 * first + 2 * last + 5 * other) / 2  # discount 0.25: the first returns 1 + 0.25 * 2
    assert torch.allclose(reinforce_loss(agent, rollout, 0.25, baseline=False), wanted)
    mean = (1.5 + 2 + 5) / 3
    wanted = -((1.5 - mean) * first + (2 - mean) * last + (5 - mean) * other) / 2
    assert torch.allclose(reinforce_loss(agent, rollout, 0.25), wanted)


def test_both_learn_in_a_few_thousand_steps() -> None:
    for algorithm in (reinforce, actor_critic):
        torch.manual_seed(0)
        agent, test = Agent(4, 2, scale=10), cartpole(20)
        before = mean_return(test, agent, seed=1)
        list(algorithm(agent, cartpole(8), 1e-2, 4000))
        assert mean_return(test, agent, seed=1) > 1.5 * before


def test_the_same_seed_gives_the_same_training() -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        np.random.seed(3)
        runs.append(list(actor_critic(Agent(4, 2), cartpole(4), 1e-2, 300, seed=3)))
    assert runs[0] == runs[1]
