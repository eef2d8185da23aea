import pytest
import torch


def test_a_constant_stays(answer):
    x = torch.full((1, 2, 5), 3.0)
    found = answer.between(x, 0.5)
    assert found.shape == (1, 2) and torch.allclose(found, torch.tensor(3.0)), (
        pytest.say(
            f"Five places that all say 3 become {found.flatten()[0].item():.3g}: take "
            "the mean of exp(), not the sum, and divide by beta.",
            f"五个位置都是 3，却变成了 {found.flatten()[0].item():.3g}："
            "对 exp() 取平均而不是求和，最后除以 beta。",
        )
    )


def test_the_ends_are_mean_and_maximum(answer):
    torch.manual_seed(0)
    x = torch.randn(4, 3, 20)
    low, high = answer.between(x, 1e-2), answer.between(x, 1e3)
    assert torch.allclose(low, x.mean(-1), atol=0.03), pytest.say(
        "With a small beta it should be nearly the mean.",
        "beta 很小时，结果应当接近平均值。",
    )
    assert torch.allclose(high, x.amax(-1), atol=0.03), pytest.say(
        "With a large beta it should be nearly the maximum.",
        "beta 很大时，结果应当接近最大值。",
    )


def test_large_numbers_do_not_overflow(answer):
    x = torch.tensor([[[1e4, 0.0]]])
    found = answer.between(x, 1.0).item()
    assert found == pytest.approx(1e4 - 0.693, abs=0.1), pytest.say(
        f"Of 10,000 and 0 you make {found:g}: exp(10,000) overflows. Subtract the "
        "largest first, or use logsumexp.",
        f"10,000 和 0 变成了 {found:g}：exp(10,000) 溢出了。"
        "先减去最大的，或者用 logsumexp。",
    )
