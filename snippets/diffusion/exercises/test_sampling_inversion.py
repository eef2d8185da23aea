import pytest
import torch

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.sampling import generate, perfect_network
from llm_tutorial.diffusion.schedule import make_schedule

islands, schedule = three_islands(), make_schedule("linear", 1000, 1e-4, 0.02)
points = islands.sample(200, torch.Generator().manual_seed(0)).double()
up = list(range(0, 1000, 3))  # timesteps from the least noisy to the noisiest
levels = [
    (float(schedule.signal(torch.tensor(t))), float(schedule.noise(torch.tensor(t))))
    for t in up
]


def test_the_same_sample_has_the_same_noise(answer):
    one, other = (answer.invert(points, levels, islands.denoise) for _ in range(2))
    assert torch.equal(one, other), pytest.say(
        "Two calls gave different noise. Nothing is drawn here: the noise is what is "
        "left of x when the guess is taken away.",
        "两次调用得到的噪声不同。这里什么都不用抽：从 x 里去掉猜测，剩下的就是噪声。",
    )


def test_the_noise_is_as_large_as_noise(answer):
    spread = answer.invert(points, levels, islands.denoise).std().item()
    assert 0.85 < spread < 1.15, pytest.say(
        f"The noise should have a deviation of about 1; yours has {spread:.2f}. Is "
        "what is left of x divided by sigma_t?",
        f"噪声的标准差应约为 1，你的是 {spread:.2f}。剩下的部分除以 sigma_t 了吗？",
    )


def test_sampling_from_the_noise_gives_the_sample_again(answer):
    noise = answer.invert(points, levels, islands.denoise)
    sampler = DDIM(schedule, up[::-1], final="sigma_min")
    again = generate(perfect_network(islands, schedule), sampler, noise)
    error = (again - points).norm(dim=1).median().item()
    assert error < 0.03, pytest.say(
        "There and back, a point should move by less than 0.03; yours moved by "
        f"{error:.2f}.",
        f"走一个来回，点的移动应小于 0.03；你的移动了 {error:.2f}。",
    )
