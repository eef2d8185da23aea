import torch


def attention_gradient(
    Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, dO: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    scale = Q.shape[-1] ** -0.5
    P = (Q @ K.T * scale).softmax(-1)
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (P * dP).sum(-1, keepdim=True))
    return scale * dS @ K, scale * dS.T @ Q, dV
