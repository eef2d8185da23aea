import pytest
import torch

LEFT = torch.linspace(0.99, 0.01, 20)


def test_the_weighted_error_of_the_velocity_is_that_of_the_noise(answer):
    torch.manual_seed(0)
    a, sigma = LEFT.sqrt()[:, None], (1 - LEFT).sqrt()[:, None]
    noisy, v, guess = torch.randn(3, 20, 50)
    noise, guessed_noise = sigma * noisy + a * v, sigma * noisy + a * guess
    wanted = (noise - guessed_noise).square().sum(1)
    error = (v - guess).square().sum(1)
    got = answer.weights(LEFT) * error
    place = int(((got - wanted).abs() / wanted).argmax())
    right, given = ((each / error)[place].item() for each in (wanted, got))
    assert torch.allclose(got, wanted, rtol=1e-3), pytest.say(
        f"Where {LEFT[place]:.2f} of the variance is signal, the squared error of the "
        f"noise is {right:.2f} times that of the velocity, not {given:.2f}. Write the "
        "noise in terms of x_t and v: what is the factor of v?",
        f"信号占方差 {LEFT[place]:.2f} 的一步，噪声的平方误差是速度的 {right:.2f} 倍，"
        f"而不是 {given:.2f} 倍。用 x_t 和 v 写出噪声：v 前面的系数是什么？",
    )


def test_no_weight_where_no_signal_is_left(answer):
    last = answer.weights(torch.tensor([0.5, 0.0]))[-1].item()
    assert last == 0, pytest.say(
        f"Where no signal is left, x_t is the noise: the weight is 0, not {last}.",
        f"没有信号的那一步，x_t 就是噪声：权重应为 0，而不是 {last}。",
    )
