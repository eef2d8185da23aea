import pytest
import torch

from llm_tutorial.diffusion.mixture import Mixture

DATA = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
NARROW = Mixture(torch.ones(4), DATA, torch.full((4,), 1e-4))  # as good as points


def test_it_is_the_mean_of_the_points_by_their_likelihood(answer):
    torch.manual_seed(0)
    noisy = torch.randn(20, 2)
    for a, sigma in ((0.8, 0.6), (0.98, 0.2), (0.1, 0.995)):
        got, wanted = (
            answer.denoise(noisy, DATA, a, sigma),
            NARROW.denoise(noisy, a, sigma),
        )
        worst = int((got - wanted).norm(dim=1).argmax())
        assert torch.allclose(got, wanted, atol=1e-3), pytest.say(
            f"With a = {a} and sigma = {sigma}, for x_t = {noisy[worst].tolist()} the "
            f"mean is {wanted[worst].tolist()}, not {got[worst].tolist()}. A point x_0 "
            "is weighted by the density of x_t around a x_0, whose variance is sigma².",
            f"a = {a}、sigma = {sigma} 时，x_t = {noisy[worst].tolist()} 对应的均值是 "
            f"{wanted[worst].tolist()}，而不是 {got[worst].tolist()}。点 x_0 的权重是 "
            "x_t 在 a x_0 周围的密度，方差为 sigma²。",
        )


def test_hardly_any_noise_gives_back_a_training_point(answer):
    got = answer.denoise(torch.tensor([[0.9, 0.1]]), DATA, 0.9999, 0.014)
    assert torch.allclose(got, DATA[1:2], atol=1e-4), pytest.say(
        f"With little noise the nearest training point is certain: {DATA[1].tolist()}, "
        f"not {got[0].tolist()}. Take the softmax over the points, not over the batch.",
        f"噪声很小时，最近的训练点是确定的：应为 {DATA[1].tolist()}，而不是 "
        f"{got[0].tolist()}。softmax 要沿着训练点取，而不是沿着批量。",
    )
