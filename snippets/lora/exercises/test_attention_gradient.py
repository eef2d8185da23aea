import pytest
import torch


def test_gradients_are_those_of_autograd(answer):
    torch.manual_seed(0)
    shapes = ((5, 8), (7, 8), (7, 3))
    Q, K, V = (torch.randn(shape, requires_grad=True) for shape in shapes)
    dO = torch.randn(5, 3)
    ((Q @ K.T / 8**0.5).softmax(-1) @ V).backward(dO)
    with torch.no_grad():
        dQ, dK, dV = answer.attention_gradient(Q, K, V, dO)
    assert torch.allclose(dV, V.grad, atol=1e-5), pytest.say(
        "The gradient of V is wrong: it is the transposed weights times dO.",
        "V 的梯度不对：它是权重的转置乘以 dO。",
    )
    # One vector added to every key shifts all scores of a query alike: the weights
    # stay, so dK sums to zero.
    assert torch.allclose(dK.sum(0), torch.zeros(8), atol=1e-4), pytest.say(
        "A shift of all scores in a row changes no weight, so each row of dS must sum "
        "to zero; yours does not.",
        "一行的分数全体平移，权重不变，所以 dS 的每一行之和必须为零；你的不是。",
    )
    for name, mine, leaf in (("Q", dQ, Q), ("K", dK, K)):
        ratio = (mine.norm() / leaf.grad.norm()).item()
        assert torch.allclose(mine, leaf.grad, atol=1e-5), pytest.say(
            f"The gradient of {name} differs from autograd's; "
            f"its norm is {ratio:.2f} times the right one.",
            f"{name} 的梯度与自动微分不同；它的范数是正确值的 {ratio:.2f} 倍。",
        )
