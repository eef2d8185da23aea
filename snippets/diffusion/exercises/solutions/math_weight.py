import torch


def weights(alphas_cumprod: torch.Tensor) -> torch.Tensor:  # (steps,) -> (steps,)
    # epsilon = sigma x_t + a v: off by delta in v, it is off by a delta
    return alphas_cumprod
