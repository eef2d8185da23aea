"""A network predicts the velocity. By what is each squared error multiplied, so that
the loss is that of the noise? Give the weight of every step.

网络预测的是速度。每一步的平方误差要乘上多少，才等于预测噪声的损失？请给出每一步的权重。
"""

import torch


def weights(alphas_cumprod: torch.Tensor) -> torch.Tensor:  # (steps,) -> (steps,)
    # TODO: how far is the noise off, where the velocity is off by delta?
    return torch.ones_like(alphas_cumprod)
