"""Classifier-free guidance: away from what a network predicts without a prompt, towards what it predicts with one."""

import torch
from torch import Tensor


def guided(conditional: Tensor, unconditional: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """One prediction out of two [Ho & Salimans 2022, arXiv:2207.12598; rescaling: Lin et al. 2023, arXiv:2305.08891].

    Args:
        conditional: Predicted with the prompt, (batch, …).
        unconditional: Predicted without, of the same shape and the same kind.
        scale: 0 leaves the prompt out, 1 takes it as it is, more exaggerates what it changes.
        rescale: From 0 to 1: how far the standard deviation of each guided prediction is brought back to that of the
            conditional one.

    Returns:
        Of the shape of both.

    Raises:
        ValueError: The shapes differ, or ``rescale`` is not from 0 to 1.

    Example:
        >>> guided(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), scale=3.0)
        tensor([[3., 6.]])
        >>> guided(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), scale=3.0, rescale=1.0)
        tensor([[1., 2.]])
    """
    if conditional.shape != unconditional.shape:
        raise ValueError(
            f"predictions with and without the prompt differ in shape: {tuple(conditional.shape)} and "
            f"{tuple(unconditional.shape)}\n"
            f"有提示词与无提示词的预测形状不同：{tuple(conditional.shape)} 与 {tuple(unconditional.shape)}"
        )
    if not 0 <= rescale <= 1:
        raise ValueError(f"rescale is from 0 to 1, not {rescale}\nrescale 应在 0 到 1 之间，而不是 {rescale}")
    # 1. further along the way from without to with (16)
    both = unconditional + scale * (conditional - unconditional)
    if not rescale:
        return both
    # 2. the standard deviation that the conditional prediction has, over all but the batch (17)
    others = tuple(range(1, both.ndim))
    wanted = conditional.std(others, keepdim=True)
    found = both.std(others, keepdim=True).clamp(min=torch.finfo(both.dtype).tiny)
    # 3. partly
    return rescale * (both * wanted / found) + (1 - rescale) * both
