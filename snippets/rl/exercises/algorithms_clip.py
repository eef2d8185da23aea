"""How many tokens has PPO's clip silenced? Give the share of tokens whose gradient is
0, among those that have an advantage.

PPO 的截断让多少词元没了声音？请给出梯度为 0 的词元所占的比例，只算优势不为零的词元。
"""

import torch


def clipped_share(
    ratio: torch.Tensor, advantage: torch.Tensor, epsilon: float = 0.2
) -> float:  # (tokens,), (tokens,)
    # TODO: a token that has gone the wrong way is outside, too, and is pulled back
    outside = (ratio < 1 - epsilon) | (ratio > 1 + epsilon)
    return outside[advantage != 0].float().mean().item()
