import pytest
import torch

from llm_tutorial.cnn.geometry import inspect


def found(answer):
    return inspect(answer.network(), torch.zeros(1, 1, 28, 28), cue=20)


def test_a_place_sees_a_digit(answer):
    fields = [layer.receptive_field for layer in found(answer).layers]
    last = [field for field in fields if all(field)][-1]
    assert min(last) >= 20, pytest.say(
        f"before the mean a place sees {last[0]} × {last[1]} pixels, 20 × 20 were "
        "asked for: a stride makes all that follows see further.",
        f"取平均之前，一个位置只看到 {last[0]} × {last[1]} 像素，要求 20 × 20："
        "用一次步幅，后面的每一层都看得更远。",
    )


def test_it_is_small_enough(answer):
    layers = found(answer).layers
    parameters = sum(layer.parameters for layer in layers)
    products = sum(layer.multiplications for layer in layers)
    assert parameters <= 12_000 and products <= 600_000, pytest.say(
        f"{parameters:,} parameters and {products:,} multiplications; at most 12,000 "
        "and 600,000 were allowed: convolve where the places are few.",
        f"参数 {parameters:,} 个，乘法 {products:,} 次；至多允许 12,000 个和 "
        "600,000 次：到位置少的地方再卷积。",
    )


def test_nothing_to_warn_of(answer):
    warnings = found(answer).warnings
    assert not warnings, pytest.say(
        f"inspect warns: {'; '.join(warnings)}",
        f"inspect 的警告：{'；'.join(warnings)}",
    )


def test_ten_scores(answer):
    shape = tuple(answer.network()(torch.zeros(2, 1, 28, 28)).shape)
    assert shape == (2, 10), pytest.say(
        f"two digits give {shape}, ten scores each were asked for.",
        f"两个数字给出 {shape}，应当各有十个得分。",
    )
