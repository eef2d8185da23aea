import torch


def after_answer(
    belief: torch.Tensor, asked: int, yes: bool, swapped: float
) -> torch.Tensor:
    right = 1 - swapped if yes else swapped
    likelihood = torch.full_like(belief, 1 - right)
    likelihood[asked] = right
    product = likelihood * belief
    return product / product.sum()
