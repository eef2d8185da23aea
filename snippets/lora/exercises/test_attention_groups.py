import pytest
import torch
from torch.nn import functional as F


def test_neighbouring_heads_share_keys_and_values(answer):
    torch.manual_seed(0)
    Q, K, V = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)
    out = answer.grouped_attention(Q, K, V)
    assert out.shape == Q.shape, pytest.say(
        f"The output has the shape {tuple(out.shape)}; it should be {tuple(Q.shape)}.",
        f"输出的形状是 {tuple(out.shape)}；应为 {tuple(Q.shape)}。",
    )
    right = F.scaled_dot_product_attention(Q, K, V, enable_gqa=True)
    close = [torch.allclose(out[:, h], right[:, h], atol=1e-5) for h in range(6)]
    wrong = [head for head in range(6) if not close[head]]
    tiled = (x.repeat(1, 3, 1, 1) for x in (K, V))
    alternate = F.scaled_dot_product_attention(Q, *tiled)
    assert not torch.allclose(out, alternate, atol=1e-5), pytest.say(
        "The groups alternate (0, 1, 0, 1, …): repeat() tiles. "
        "Heads 0, 1, 2 share group 0, heads 3, 4, 5 group 1.",
        "组是交替的（0, 1, 0, 1, …）：repeat() 是整段平铺。"
        "应当是头 0、1、2 共用组 0，头 3、4、5 共用组 1。",
    )
    assert not wrong, pytest.say(
        f"Heads {wrong} read the wrong keys and values: "
        "head h belongs to group h // (heads // groups).",
        f"头 {wrong} 读错了键和值：头 h 属于组 h // (heads // groups)。",
    )


def test_one_group_for_each_head_is_ordinary_attention(answer):
    torch.manual_seed(0)
    Q, K, V = torch.randn(3, 2, 4, 5, 8).unbind()
    out, right = (
        answer.grouped_attention(Q, K, V),
        F.scaled_dot_product_attention(Q, K, V),
    )
    assert torch.allclose(out, right, atol=1e-5), pytest.say(
        "With as many groups as heads it should be ordinary attention.",
        "组数等于头数时，应当就是普通的注意力。",
    )
