import torch


def weights(alphas_cumprod: torch.Tensor) -> torch.Tensor:  # (steps,) -> (steps,)
    return (
        alphas_cumprod  # epsilon = sigma x_t + a v, so its error is a times that of v
    )
