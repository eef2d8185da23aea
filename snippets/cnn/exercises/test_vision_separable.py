import pytest
import torch
from torch import nn

from llm_tutorial.cnn.geometry import inspect


def test_the_shape_stays(answer):
    try:
        out = answer.Block(8)(torch.rand(2, 8, 9, 9)).shape
    except RuntimeError:  # x and f(x) do not fit
        out = ()
    assert out == (2, 8, 9, 9), pytest.say(
        f"(2, 8, 9, 9) becomes {tuple(out)}: pad the depthwise convolution by 1.",
        f"(2, 8, 9, 9) 变成了 {tuple(out)}：逐通道卷积要填充 1。",
    )


def test_convolutions_are_depthwise_and_pointwise(answer):
    layers = [m for m in answer.Block(8).modules() if isinstance(m, nn.Conv2d)]
    found = [(m.kernel_size[0], m.groups) for m in layers]
    assert found == [(3, 8), (1, 1)] * 2, pytest.say(
        f"kernels and groups are {found}; wanted: 3 with 8 groups, then 1 with 1 "
        "group, twice.",
        f"卷积核和组数是 {found}；要的是：3 配 8 组，然后 1 配 1 组，两遍。",
    )


def test_the_field_stays_and_parameters_are_fewer(answer):
    block = answer.Block(64)
    field = inspect(block, torch.zeros(1, 64, 9, 9)).layers[-1].receptive_field
    weights = sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))
    assert (field, weights) == ((5, 5), 2 * (64 * 9 + 64 * 64)), pytest.say(
        f"a place sees {field} and there are {weights:,} weights; expected (5, 5) and "
        "9,344: no bias, both convolutions replaced.",
        f"一个位置看到 {field}，权重 {weights:,} 个；应为 (5, 5) 和 9,344 个："
        "不带偏置，两个卷积都要换。",
    )


def test_the_shortcut_is_still_there(answer):
    block = answer.Block(4).eval()
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = torch.rand(1, 4, 5, 5)
    assert torch.allclose(block(x), x), pytest.say(
        "with all weights zero the block must give its input: add x.",
        "权重全为零时，块应当原样给出输入：要加上 x。",
    )
