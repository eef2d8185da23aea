from itertools import pairwise

import pytest
import torch

from llm_tutorial.diffusion.mixture import three_islands

islands = three_islands()


def direction(y, kappa):
    return -kappa * islands.score(y, 1.0, kappa)


def solve(answer, steps, y):
    kappas = torch.linspace(4, -4, steps + 1, dtype=torch.float64).exp().tolist()
    for kappa, then in pairwise(kappas):
        y = answer.heun_step(y, kappa, then, direction)
    return y


def test_it_asks_for_two_directions(answer):
    asked = []

    def record(y, kappa):
        asked.append((round(float(y), 6), kappa))
        return torch.tensor(2.0)

    answer.heun_step(torch.tensor(1.0), 3.0, 2.0, record)
    assert asked == [(1.0, 3.0), (-1.0, 2.0)], pytest.say(
        "With the direction 2 from y = 1, kappa = 3 to kappa = 2, the network is asked "
        "at (1, 3) and at the end of Euler's step, (-1, 2); you asked at "
        f"{asked}.",
        "从 y = 1、kappa = 3 走到 kappa = 2，方向恒为 2，应先在 (1, 3) 询问网络，"
        f"再在欧拉步的终点 (-1, 2) 询问；你询问的地方是 {asked}。",
    )


def test_a_direction_that_grows_with_kappa_is_followed_exactly(answer):
    reached = answer.heun_step(torch.tensor(0.0), 3.0, 1.0, lambda y, kappa: kappa)
    assert abs(float(reached) + 4) < 1e-5, pytest.say(
        "dy/dkappa = kappa from 3 to 1 moves y by (1 - 9) / 2 = -4, which the mean of "
        f"both directions gives exactly; yours moves it by {float(reached):.3f}.",
        "dy/dkappa = kappa，从 3 到 1，y 改变 (1 - 9) / 2 = -4，"
        f"取两个方向的平均恰好得到它；你的结果改变了 {float(reached):.3f}。",
    )


def test_twice_the_steps_leave_a_quarter_of_the_error(answer):
    generator = torch.Generator().manual_seed(0)
    y = 54.6 * torch.randn(100, 2, generator=generator, dtype=torch.float64)
    truth = solve(answer, 1024, y)
    coarse, fine = (
        (solve(answer, steps, y) - truth).norm(dim=1).median().item()
        for steps in (64, 128)
    )
    ratio = f"{coarse / fine:.1f}"
    assert coarse / fine > 3.3, pytest.say(
        f"Twice the steps should divide the error by 4; yours was divided by {ratio}.",
        f"步数加倍，误差应除以 4；你的只除以了 {ratio}。",
    )
