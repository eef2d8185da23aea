"""The best denoiser for a data set of n points, each as likely as the others, is the
mean of x_0 for a noisy x_t. Write it: what would a perfectly trained network draw?

一个数据集有 n 个点，每个点同样可能。写出它的最佳去噪器：给定带噪的 x_t，求 x_0 的均值。
训练到完美的网络，会画出什么？
"""

import torch


def denoise(
    noisy: torch.Tensor, data: torch.Tensor, a: float, sigma: float
) -> torch.Tensor:  # (batch, d), (n, d) -> (batch, d)
    # TODO: how likely does each point of the data become noisy? a x_0 + sigma epsilon
    weights = torch.ones(len(noisy), len(data)) / len(data)
    return weights @ data
