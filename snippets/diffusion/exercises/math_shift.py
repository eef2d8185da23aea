"""Pictures of twice the side need more noise: four times as many pixels tell the same
story. Change a schedule so that its SNR is divided by a factor at every step.

边长加倍的图片需要更多噪声：同样的内容由四倍的像素来讲。请修改一个调度，让每一步的信噪比都除以同一个数。
"""

import torch


def shifted(alphas_cumprod: torch.Tensor, factor: float) -> torch.Tensor:
    # alphas_cumprod: (steps,), the share of signal in the variance; the result is alike
    # TODO: SNR = share / (1 - share); divide it, and go back to the share
    return alphas_cumprod / factor
