"""GRPO (Shao et al., 2024, arXiv:2402.03300), with what DAPO (2503.14476) and Dr. GRPO (2503.20783) changed in it."""

from typing import Literal

from torch import Tensor

from llm_tutorial.rl.advantages import check_rewards
from llm_tutorial.rl.kl import kl_estimate
from llm_tutorial.rl.ppo import clipped_loss

Normalisation = Literal["grpo", "dapo", "dr_grpo"]


def group_advantages(rewards: Tensor, scale: bool = True, epsilon: float = 1e-4) -> Tensor:
    """Each reward minus the mean of its group, divided by the group's standard deviation.

    A group whose rewards are all equal has advantages of 0: it teaches nothing.

    Args:
        rewards: (prompts, answers).
        scale: Whether to divide; Dr. GRPO does not, for it makes easy and hard prompts weigh more than others.
        epsilon: Added to the standard deviation.

    Raises:
        ValueError: A reward is no finite number, or a group has one answer only.

    Example:
        >>> import torch
        >>> group_advantages(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        tensor([[-0.7070,  0.7070],
                [ 0.0000,  0.0000]])
    """
    check_rewards(rewards)
    if rewards.shape[1] < 2:
        raise ValueError("a group needs two answers or more\n一组至少要有两个回答")
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True) + epsilon) if scale else centred


def averaged(
    per_token: Tensor,
    mask: Tensor,
    normalisation: Normalisation,
    longest: int,
    answers: int | None = None,
    tokens: int | None = None,
) -> Tensor:
    """One number of a loss of each token: what the sum is divided by is what the three methods differ in.

    Args:
        per_token: (answers, tokens).
        mask: Where there are tokens.
        normalisation: ``"grpo"``: by the length of each answer, then by the answers; ``"dapo"``: by all tokens;
            ``"dr_grpo"``: by the answers times the longest length allowed, a constant.
        longest: Most tokens that an answer may have.
        answers: Of the whole batch, where this is a part of it.
        tokens: Of the whole batch, where this is a part of it.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[True, True, True], [True, False, False]])
        >>> [averaged(mask.float(), mask, name, longest=4).item() for name in ("grpo", "dapo", "dr_grpo")]
        [1.0, 1.0, 0.5]
    """
    per_token, answers = per_token * mask, answers or len(mask)
    if normalisation == "grpo":
        return (per_token.sum(1) / mask.sum(1).clamp(min=1)).sum() / answers
    if normalisation == "dapo":
        return per_token.sum() / (tokens or int(mask.sum()))
    return per_token.sum() / (answers * longest)


def grpo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    longest: int,
    normalisation: Normalisation = "grpo",
    low: float = 0.2,
    high: float = 0.2,
    reference_log_probs: Tensor | None = None,
    kl_weight: float = 0.0,
    answers: int | None = None,
    tokens: int | None = None,
) -> Tensor:
    """PPO's clipped loss with a group's advantage for every token of an answer, and k3 added to the loss.

    Args:
        log_probs: (answers, tokens), under the policy that is trained.
        old_log_probs: Under the policy that wrote the answers.
        advantages: Of each answer, (answers,).
        mask: Where there are tokens.
        longest: Most tokens that an answer may have.
        normalisation: See ``averaged``.
        low: The ratio is clipped below 1 - low.
        high: And above 1 + high.
        reference_log_probs: Under the reference, if ``kl_weight`` is not 0.
        kl_weight: Beta.
        answers: Of the whole batch, where this is a part of it.
        tokens: Of the whole batch, where this is a part of it.

    Example:
        >>> import torch
        >>> zeros, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> grpo_loss(zeros, zeros, torch.tensor([1.0, 0.5]), mask, longest=3)
        tensor(-0.7500)
    """
    per_token = clipped_loss(log_probs, old_log_probs, advantages[:, None], low, high)
    if kl_weight:
        if reference_log_probs is None:
            raise ValueError("a KL weight needs the reference's log-probabilities\nKL 的权重需要参考模型的对数概率")
        per_token = per_token + kl_weight * kl_estimate(log_probs, reference_log_probs)
    return averaged(per_token, mask, normalisation, longest, answers, tokens)
