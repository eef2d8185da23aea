import torch


def after_summary(beliefs: torch.Tensor, yes: bool, swapped: float) -> torch.Tensor:
    right = 1 - swapped if yes else swapped
    best = beliefs.amax(1)
    others = best.prod() / best  # the other slots are right
    likelihood = torch.full_like(beliefs, 1 - right)
    mixed = others * right + (1 - others) * (1 - right)
    likelihood[range(len(beliefs)), beliefs.argmax(1)] = mixed
    product = likelihood * beliefs
    return product / product.sum(1, keepdim=True)
