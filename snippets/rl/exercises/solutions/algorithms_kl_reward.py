import torch


def advantages(
    rewards: torch.Tensor,  # (prompts, answers)
    log_probs: torch.Tensor,  # (prompts * answers, tokens)
    reference: torch.Tensor,  # the same under the reference
    mask: torch.Tensor,  # True where there is a token
    beta: float,
) -> torch.Tensor:  # (prompts, answers)
    kl = ((log_probs - reference) * mask).sum(1)
    rewards = rewards - beta * kl.view_as(rewards)
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)
