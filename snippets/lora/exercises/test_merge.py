import pytest
import torch
from torch import nn

from llm_tutorial.lora.linear import LoRALinear


@pytest.mark.parametrize(("rank", "alpha"), [(1, 1.0), (4, 8.0), (8, 4.0)])
def test_one_weight_gives_what_layer_and_adapter_give(answer, rank, alpha):
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(16, 12, bias=False), rank=rank, alpha=alpha)
    nn.init.normal_(layer.lora_B)
    weight = layer.weight.detach().clone()
    A, B = layer.lora_A.detach(), layer.lora_B.detach()
    try:
        merged = answer.merged_weight(weight, A, B, alpha)
    except RuntimeError as error:
        pytest.fail(
            pytest.say(
                f"The shapes do not fit ({error}): "
                "W is (out, in), B is (out, rank), A is (rank, in).",
                f"形状对不上（{error}）："
                "W 是（输出, 输入），B 是（输出, 秩），A 是（秩, 输入）。",
            )
        )
    assert not torch.equal(merged, layer.weight), pytest.say(
        "The weight is the pretrained one: "
        "the update alpha/rank * B @ A is still missing.",
        "这仍是预训练权重：还没有加上更新 alpha/rank * B @ A。",
    )
    unscaled = layer.weight + layer.lora_B @ layer.lora_A
    assert rank == alpha or not torch.allclose(merged, unscaled, atol=1e-5), pytest.say(
        "The update is there, but not scaled by alpha / rank.",
        "更新加上了，但漏了系数 alpha / rank。",
    )
    assert torch.equal(weight, layer.weight), pytest.say(
        "The pretrained weight was changed in place; return a new one.",
        "预训练权重被就地修改了；请返回新的张量。",
    )
    x = torch.randn(5, 16)
    assert torch.allclose(x @ merged.T, layer(x), atol=1e-4), pytest.say(
        "The merged layer gives other outputs than layer and adapter: "
        "is rank the number of rows of A, and the update B @ A?",
        "合并后的输出与「原层加适配器」不同：秩是不是 A 的行数？更新是不是 B @ A？",
    )
