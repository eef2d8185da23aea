import pytest
import torch

from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.straight import perfect_velocity

islands = three_islands()


def v_network(x, a, sigma):
    guess = islands.denoise(x, a, sigma)
    return (a * x - guess) / sigma


def test_the_levels_are_those_of_a_schedule(answer):
    asked = []

    def record(x, a, sigma):
        asked.append((float(a), float(sigma)))
        return torch.zeros_like(x)

    answer.flow_velocity(record, torch.ones(1, 2), 0.25)
    a, sigma = asked[0]
    assert abs(a**2 + sigma**2 - 1) < 1e-5 and abs(sigma / a - 1 / 3) < 1e-5, (
        pytest.say(
            "At f = 0.25 there is one part of noise to three of signal, and the "
            "squares of the levels add up to 1; "
            f"you asked at a = {a:.3f}, sigma = {sigma:.3f}.",
            "f = 0.25 处，噪声与信号是一比三，两个水平的平方和为 1；"
            f"你询问的是 a = {a:.3f}，sigma = {sigma:.3f}。",
        )
    )


def test_the_sample_is_scaled_as_the_levels_are(answer):
    asked = []

    def record(x, a, sigma):
        asked.append(float(x[0, 0]) / float(a))
        return torch.zeros_like(x)

    answer.flow_velocity(record, torch.full((1, 2), 0.75), 0.25)
    assert abs(asked[0] - 1) < 1e-4, pytest.say(
        "z = 0.75 at f = 0.25 is the clean sample 1, and so is x = a times 1; the x "
        f"that you gave to the network stands for {asked[0]:.3f}.",
        "f = 0.25 处的 z = 0.75 是干净样本 1，所以 x 应等于 a 乘以 1；"
        f"你给网络的 x 相当于 {asked[0]:.3f}。",
    )


@pytest.mark.parametrize("f", [0.05, 0.5, 0.95])
def test_it_is_the_velocity_of_the_flow(answer, f):
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    wanted = perfect_velocity(islands)(z, torch.tensor(f))
    found = answer.flow_velocity(v_network, z, f)
    off = (found - wanted).abs().max().item()
    assert off < 1e-3, pytest.say(
        f"At f = {f} the velocity is off by up to {off:.2f}: are noise and x0 those "
        "that v stands for, and is it noise less x0?",
        f"f = {f} 处，速度最多差 {off:.2f}：噪声和 x0 是 v 所代表的那两个吗？"
        "是不是噪声减 x0？",
    )
