import pytest
import torch
from torch import nn


def made():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    return model.train(), torch.rand(4, 3, 8, 8)


def test_means_first_then_maxima(answer):
    model, images = made()
    got = answer.pooled(model, model[2], images)
    assert got.shape == (4, 10), pytest.say(
        f"4 pictures and 5 maps give {tuple(got.shape)}; means and maxima side by side "
        "are (4, 10).",
        f"4 张图片、5 张特征图给出 {tuple(got.shape)}；"
        "平均和最大值并排应当是 (4, 10)。",
    )
    with torch.no_grad():
        maps = model.eval()(images)
    assert got[:, :5].allclose(maps.mean((2, 3)), atol=1e-5), pytest.say(
        "the first 5 columns are not the means in evaluation mode.",
        "前 5 列不是评估模式下的平均。",
    )
    assert got[:, 5:].allclose(maps.amax((2, 3)), atol=1e-5), pytest.say(
        "the last 5 columns are not the maxima over places.",
        "后 5 列不是对位置的最大值。",
    )


def test_the_network_is_as_before(answer):
    model, images = made()
    stored = model[1].running_mean.clone()
    answer.pooled(model, model[2], images)
    assert model.training and not model[2]._forward_hooks, pytest.say(
        "the network came back changed: remove the hook, and restore its mode.",
        "网络被改动了：要移除钩子，并恢复原来的模式。",
    )
    assert model[1].running_mean.equal(stored), pytest.say(
        "the stored means of batch norm moved: extract in evaluation mode.",
        "批归一化存着的均值动了：要在评估模式下提取。",
    )
