from itertools import pairwise

import pytest
import torch

from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.straight import perfect_velocity

perfect = perfect_velocity(three_islands())


def solve(answer, steps, z):
    def velocity(z, f):
        return perfect(z, torch.tensor(f, dtype=torch.float64))

    shares = torch.linspace(0.95, 0.05, steps + 1, dtype=torch.float64).tolist()
    for now, then in pairwise(shares):
        z = answer.midpoint_step(z, now, then, velocity)
    return z


def test_it_asks_at_the_start_and_in_the_middle(answer):
    asked = []

    def record(z, f):
        asked.append((round(float(z), 6), f))
        return torch.tensor(2.0)

    answer.midpoint_step(torch.tensor(1.0), 1.0, 0.5, record)
    assert asked == [(1.0, 1.0), (0.5, 0.75)], pytest.say(
        "With the velocity 2 from z = 1, f = 1 to f = 0.5, the network is asked at "
        f"(1, 1) and, half a step on, at (0.5, 0.75); you asked at {asked}.",
        "从 z = 1、f = 1 走到 f = 0.5，速度恒为 2，应先在 (1, 1) 询问网络，"
        f"走半步后再在 (0.5, 0.75) 询问；你询问的地方是 {asked}。",
    )


def test_a_velocity_that_grows_with_f_is_followed_exactly(answer):
    reached = answer.midpoint_step(torch.tensor(0.0), 1.0, 0.0, lambda z, f: f)
    assert abs(float(reached) + 0.5) < 1e-5, pytest.say(
        "dz/df = f from 1 to 0 moves z by -1/2, which the velocity of the middle gives "
        f"exactly; yours moves it by {float(reached):.3f}.",
        f"dz/df = f，从 1 到 0，z 改变 -1/2，用中点的速度恰好得到它；"
        f"你的结果改变了 {float(reached):.3f}。",
    )


def test_twice_the_steps_leave_a_quarter_of_the_error(answer):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(100, 2, generator=generator, dtype=torch.float64)
    truth = solve(answer, 512, z)
    coarse, fine = (
        (solve(answer, steps, z) - truth).norm(dim=1).median().item()
        for steps in (16, 32)
    )
    ratio = f"{coarse / fine:.1f}"
    assert coarse / fine > 3.2, pytest.say(
        f"Twice the steps should divide the error by 4; yours was divided by {ratio}.",
        f"步数加倍，误差应除以 4；你的只除以了 {ratio}。",
    )
