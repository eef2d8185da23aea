"""The system names the likeliest value of every slot, asks "Is all of that right?", and
hears yes or no. Yes and no are swapped with probability `swapped`; no value comes with
the answer, and nothing is made of that. Give each slot's belief after the answer. The
slots are independent before it.

系统说出每个槽位最可能的值，问「都对吗？」，听到「对」或「不对」。两者以概率 `swapped`
听反；回答没有带值，这一点也不作判断。请给出听到回答之后每个槽位的信念。在此之前各槽位
相互独立。
"""

import torch


def after_summary(
    beliefs: torch.Tensor, yes: bool, swapped: float
) -> torch.Tensor:  # (slots, values) -> (slots, values)
    # TODO: if this slot is right, are the others?
    right = 1 - swapped if yes else swapped
    likelihood = torch.full_like(beliefs, 1 - right)
    likelihood[range(len(beliefs)), beliefs.argmax(1)] = right
    product = likelihood * beliefs
    return product / product.sum(1, keepdim=True)
