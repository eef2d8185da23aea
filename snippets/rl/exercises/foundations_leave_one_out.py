"""A prompt got two or more answers. Use the others as the baseline of each: what an
answer is credited with is its reward less the mean reward of the others.

同一个提示词有两个或更多的回答。请用别的回答给每个回答作基线：一个回答的优势，等于它的奖励减去其余回答的平均奖励。
"""

import torch


def advantages(rewards: torch.Tensor) -> torch.Tensor:  # (prompts, answers), twice
    # TODO: this mean holds the answer's own reward, too
    return rewards - rewards.mean(1, keepdim=True)
