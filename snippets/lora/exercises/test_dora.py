import pytest
import torch
from torch import nn

from llm_tutorial.lora.linear import LoRALinear


def layer_and_answer(answer):
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(16, 12, bias=False), rank=4, alpha=8, use_dora=True)
    nn.init.normal_(layer.lora_B)
    layer.lora_magnitude.data.mul_(1.5)
    parts = [p.detach().clone().requires_grad_() for p in layer_parameters(layer)]
    x = torch.randn(5, 16)
    given = answer.dora_forward(x, layer.weight.detach(), *parts, layer.scaling)
    return layer, parts, layer(x), given


def layer_parameters(layer):
    return layer.lora_A, layer.lora_B, layer.lora_magnitude


def test_output_is_that_of_dora(answer):
    _, _, expected, given = layer_and_answer(answer)
    assert given.shape == expected.shape, pytest.say(
        "The output has the wrong shape.", "输出的形状不对。"
    )
    assert torch.allclose(given, expected, atol=1e-4), pytest.say(
        "The output differs: divide each output feature by the norm of its row of "
        "weight + scaling * B @ A (dim=1), then multiply by its magnitude.",
        "输出不同：先把每个输出特征除以 weight + scaling * B @ A "
        "对应行的范数（dim=1），再乘以它的幅值。",
    )


def test_norm_is_a_constant_for_the_gradient(answer):
    layer, parts, expected, given = layer_and_answer(answer)
    assert torch.allclose(given, expected, atol=1e-4), pytest.say(
        "First make the output right.", "先让输出正确。"
    )
    expected.square().sum().backward()
    given.square().sum().backward()
    for name, part, trained in zip(
        ["A", "B", "magnitude"], parts, layer_parameters(layer), strict=True
    ):
        assert part.grad is not None, pytest.say(
            f"{name} gets no gradient: detach() the norm alone.",
            f"{name} 得不到梯度：只有范数要 detach()。",
        )
        assert torch.allclose(part.grad, trained.grad, rtol=1e-3, atol=1e-3), (
            pytest.say(
                f"The output is right, the gradient of {name} is not: "
                "detach() the norm, and nothing else.",
                f"输出正确，但 {name} 的梯度不对：范数要 detach()，别的都不要。",
            )
        )
