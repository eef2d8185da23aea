"""How does a gradient get back through the softmax of each row? Complete `dS`, so that
all three gradients agree with autograd.

梯度怎样穿过每一行的 softmax 传回来？
补全 `dS`，让三个梯度都与自动求导一致。
"""

import torch


def attention_gradient(
    Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, dO: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    # Q: (n, d), K: (m, d), V: (m, v); dO: (n, v), the gradient of the output
    # returns dQ, dK, dV
    scale = Q.shape[-1] ** -0.5
    P = (Q @ K.T * scale).softmax(-1)  # (n, m)
    dV = P.T @ dO
    dP = dO @ V.T
    dS = dP  # TODO: back through the softmax of each row
    return scale * dS @ K, scale * dS.T @ Q, dV
