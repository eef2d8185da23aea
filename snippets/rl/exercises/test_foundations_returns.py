import pytest
import torch

REWARDS = torch.tensor([0.0, 1.0, 0.0, 0.0, 2.0])
ENDED = torch.tensor([False, True, False, False, True])


def test_nothing_flows_over_an_end(answer):
    got = answer.returns_to_go(REWARDS, ENDED, 0.5).tolist()
    assert got[1] == 1, pytest.say(
        f"Step t = 1 ends a trajectory and pays 1, so its return is 1, not {got[1]}:"
        " what comes after belongs to another trajectory.",
        f"t = 1 这一步结束了一条轨迹，奖励是 1，回报就应当是 1，而不是 {got[1]}："
        "后面的属于另一条轨迹。",
    )


def test_each_reward_is_discounted_by_the_steps_to_it(answer):
    got = answer.returns_to_go(REWARDS, ENDED, 0.5).tolist()
    wanted = [0.5, 1.0, 0.5, 1.0, 2.0]
    assert got == pytest.approx(wanted), pytest.say(
        f"With gamma 0.5 the returns are {wanted}, not {got}: a reward k steps ahead "
        "counts gamma^k.",
        f"gamma 为 0.5 时，回报是 {wanted}，而不是 {got}：k 步之后的奖励要乘 gamma^k。",
    )
