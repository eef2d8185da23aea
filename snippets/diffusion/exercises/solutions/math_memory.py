import torch


def denoise(
    noisy: torch.Tensor, data: torch.Tensor, a: float, sigma: float
) -> torch.Tensor:  # (batch, d), (n, d) -> (batch, d)
    distances = torch.cdist(noisy, a * data).square()  # (batch, n)
    # with little noise all weight is on the nearest point: a perfect network draws its
    # training set again, and what is new in a picture comes from its errors
    weights = (-distances / (2 * sigma**2)).softmax(1)
    return weights @ data
