from itertools import permutations

import pytest
import torch

from llm_tutorial.diffusion.mixture import three_islands


def drawn(count):
    generator = torch.Generator().manual_seed(0)
    return three_islands().sample(count, generator), torch.randn(
        count, 2, generator=generator
    )


def test_every_noise_is_used_once(answer):
    x0, noise = drawn(64)
    found = answer.couple(x0, noise)
    same = sorted(found.tolist()) == sorted(noise.tolist())
    assert same, pytest.say(
        "The noises that come back are not those that went in, each once: the noise as "
        "a whole would no longer be normal.",
        "返回的噪声不是原来的那些（每个一次）：这样一来，全体噪声就不再是正态的了。",
    )


def test_the_sum_of_squares_is_least(answer):
    x0, noise = drawn(6)
    least = min(
        (x0 - noise[list(order)]).square().sum().item()
        for order in permutations(range(6))
    )
    found = (x0 - answer.couple(x0, noise)).square().sum().item()
    assert found < least + 1e-4, pytest.say(
        f"For six pairs the least sum of squared distances is {least:.2f}; yours is "
        f"{found:.2f}.",
        f"六对的距离平方和最小是 {least:.2f}；你的是 {found:.2f}。",
    )
