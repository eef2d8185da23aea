import pytest
import torch
from torch.nn import functional as F


def drawn(k):
    torch.manual_seed(k)
    return torch.randn(7, 4, k, k), torch.randn(2, 4, k, k), torch.randn(7, 2, 1, 1)


@pytest.mark.parametrize("k", [1, 3])
def test_one_convolution_gives_both(answer, k):
    base, down, up = drawn(k)
    x = torch.randn(2, 4, 6, 6)
    weight = answer.merged(base.clone(), down, up, 0.5)
    assert weight.shape == base.shape, pytest.say(
        f"the merged weights have shape {tuple(weight.shape)}, the base "
        f"{tuple(base.shape)}.",
        f"合并后的权重形状是 {tuple(weight.shape)}，原来是 {tuple(base.shape)}。",
    )
    both = F.conv2d(x, base) + 0.5 * F.conv2d(F.conv2d(x, down), up)
    gap = (F.conv2d(x, weight) - both).abs().max().item()
    assert gap < 1e-3, pytest.say(
        f"with kernels of {k} × {k} outputs differ by {gap:.2f}: add scale times the "
        "product of up and down over the r channels, place by place of the kernel.",
        f"核为 {k} × {k} 时输出相差 {gap:.2f}：对核的每个位置，把 up 与 down 在 r 个"
        "通道上的乘积乘以 scale 加上去。",
    )
