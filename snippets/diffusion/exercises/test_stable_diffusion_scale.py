import pytest
import torch


def batches():
    generator = torch.Generator().manual_seed(0)
    for mean, deviation, count in ((3.0, 1.0, 2), (-1.0, 4.0, 5), (0.0, 2.0, 1)):
        yield mean + deviation * torch.randn(count, 4, 8, 8, generator=generator)


def test_it_is_one_over_the_deviation_of_all(answer):
    expected = 1 / torch.cat(list(batches())).std(correction=0).item()
    found = answer.scaling_factor(batches())
    assert abs(found / expected - 1) < 1e-4, pytest.say(
        f"All numbers together have the factor {expected:.4f}; you returned "
        f"{found:.4f}. The deviation of the whole is not the mean of the deviations: "
        "what a mean differs from batch to batch counts too.",
        f"所有数合在一起，系数是 {expected:.4f}；你返回的是 {found:.4f}。"
        "总体的标准差不是各批标准差的平均：各批均值之间的差别也要算进去。",
    )


def test_the_mean_is_taken_off(answer):
    expected = answer.scaling_factor(batches())
    found = answer.scaling_factor(100 + each for each in batches())
    assert abs(found / expected - 1) < 1e-3, pytest.say(
        f"A shift of all latents by 100 leaves the factor as it is; yours goes from "
        f"{expected:.4f} to {found:.4f}. (Large sums want double precision.)",
        f"把所有潜变量平移 100，系数应当不变；你的从 {expected:.4f} "
        f"变成了 {found:.4f}。"
        "（大数求和要用双精度。）",
    )
