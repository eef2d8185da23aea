"""What the methods differ in: how a reward becomes an advantage, and which loss takes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.rl.advantages import check_rewards, normalised
from llm_tutorial.rl.grpo import Normalisation, group_advantages, grpo_loss
from llm_tutorial.rl.policy_gradient import policy_gradient_loss, running_baseline_advantages
from llm_tutorial.rl.ppo import Critic, clipped_loss, token_advantages, value_loss
from llm_tutorial.rl.rloo import rloo_advantages


class Batch(NamedTuple):
    """Answers of an update, or a part of them; tensors (answers, tokens) unless said otherwise."""

    log_probs: Tensor  # of the policy that is trained, with gradient
    mask: Tensor
    old_log_probs: Tensor  # of the policy that wrote them
    reference_log_probs: Tensor | None
    advantages: Tensor  # (answers,), or of each token
    returns: Tensor | None  # what the critic should have said
    hidden: Tensor | None  # (answers, tokens, width), what the critic reads
    answers: int  # of the whole update
    tokens: int  # of the whole update
    longest: int  # most tokens that an answer may have


@dataclass
class Method:
    """A method of the family of policy gradients."""

    name: str
    advantages: Callable[[Tensor, Sequence[float]], Tensor]  # rewards (prompts, answers), mean rewards of earlier steps
    loss: Callable[[Batch], Tensor]
    kl_in_reward: float = 0.0  # weight of the log-ratio to the reference, summed over an answer's tokens
    passes: int = 1  # updates on the same answers
    critic: Critic | None = field(default=None, repr=False)
    decay: float = 0.95  # lambda of GAE, where there is a critic
    kl_in_loss: float = 0.0  # weight of k3 in the loss

    def __str__(self) -> str:
        """Its settings in words, the same in every process."""
        return f"{self.name} {self.kl_in_reward} {self.kl_in_loss} {self.passes} {self.decay}"

    @property
    def needs_reference(self) -> bool:
        """Whether the reference has to score the answers, a third pass over them."""
        return bool(self.kl_in_loss or self.kl_in_reward)


def reinforce(kl_in_reward: float = 0.0) -> Method:
    """REINFORCE with a running mean of earlier rewards as its baseline.

    Args:
        kl_in_reward: See ``Method``.
    """

    def loss(batch: Batch) -> Tensor:
        return policy_gradient_loss(batch.log_probs, batch.advantages, batch.answers)

    return Method("REINFORCE", running_baseline_advantages, loss, kl_in_reward)


def rloo(kl_in_reward: float = 0.0) -> Method:
    """REINFORCE with the mean of the other answers of the group as its baseline.

    Args:
        kl_in_reward: See ``Method``.
    """

    def loss(batch: Batch) -> Tensor:
        return policy_gradient_loss(batch.log_probs, batch.advantages, batch.answers)

    return Method("RLOO", lambda rewards, _: rloo_advantages(rewards), loss, kl_in_reward)


def grpo(
    normalisation: Normalisation = "grpo",
    scale: bool | None = None,
    kl_in_loss: float = 0.0,
    kl_in_reward: float = 0.0,
    passes: int = 1,
) -> Method:
    """GRPO, or with another normalisation DAPO (clip 0.2 below, 0.28 above) or Dr. GRPO (no division by the spread).

    Args:
        normalisation: ``"grpo"``, ``"dapo"`` or ``"dr_grpo"``.
        scale: Whether advantages are divided by the group's standard deviation; by default all but Dr. GRPO do.
        kl_in_loss: Weight of k3 in the loss, as in the paper.
        kl_in_reward: Weight of the summed log-ratio in the reward, as in RLOO and in PPO for language models.
        passes: Updates on the same answers.

    Example:
        >>> grpo("dr_grpo").advantages(torch.tensor([[0.0, 1.0]]), [])
        tensor([[-0.5000,  0.5000]])
    """
    scale = normalisation != "dr_grpo" if scale is None else scale
    high = 0.28 if normalisation == "dapo" else 0.2

    def loss(batch: Batch) -> Tensor:
        return grpo_loss(
            *(batch.log_probs, batch.old_log_probs, batch.advantages, batch.mask, batch.longest, normalisation),
            high=high,
            reference_log_probs=batch.reference_log_probs,
            kl_weight=kl_in_loss,
            answers=batch.answers,
            tokens=batch.tokens,
        )

    names = {"grpo": "GRPO", "dapo": "DAPO", "dr_grpo": "Dr. GRPO"}
    estimate = partial(group_advantages, scale=scale)
    name = names[normalisation] if scale == (normalisation != "dr_grpo") else f"{names[normalisation]}, scale {scale}"
    return Method(name, lambda rewards, _: estimate(rewards), loss, kl_in_reward, passes, kl_in_loss=kl_in_loss)


def ppo(critic: Critic, kl_in_reward: float = 0.0, passes: int = 2, decay: float = 0.95) -> Method:
    """PPO with a critic, its advantages normalised over the batch.

    Args:
        critic: Reads the policy's hidden states; trained beside it.
        kl_in_reward: Weight of the log-ratio of each token in its reward.
        passes: Updates on the same answers.
        decay: Lambda of GAE.
    """

    def loss(batch: Batch) -> Tensor:
        assert batch.hidden is not None
        assert batch.returns is not None
        policy = clipped_loss(batch.log_probs, batch.old_log_probs, batch.advantages)
        values = value_loss(critic(batch.hidden), batch.returns, batch.mask, batch.tokens)
        return (policy * batch.mask).sum() / batch.tokens + 0.5 * values

    return Method("PPO", lambda rewards, _: rewards, loss, kl_in_reward, passes=passes, critic=critic, decay=decay)


@torch.no_grad()
def credited(
    method: Method,
    rewards: Tensor,
    earlier: Sequence[float],
    log_ratio: Tensor | None,
    mask: Tensor,
    hidden: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Advantages of answers (answers,), or of tokens where there is a critic, and then the returns.

    Args:
        method: Which.
        rewards: (prompts, answers).
        earlier: Mean reward of each earlier step.
        log_ratio: Log-probability under the policy minus that under the reference, (answers, tokens), or ``None``.
        mask: Where there are tokens.
        hidden: What the critic reads.

    Raises:
        ValueError: A reward is no finite number.

    Example:
        >>> mask = torch.ones(2, 3, dtype=torch.bool)
        >>> credited(rloo(), torch.tensor([[0.0, 1.0]]), [], None, mask)[0]
        tensor([-1.,  1.])
    """
    check_rewards(rewards)
    penalty = (
        torch.zeros_like(mask, dtype=torch.float32) if log_ratio is None else method.kl_in_reward * log_ratio * mask
    )
    if method.critic is not None:
        assert hidden is not None
        advantages, returns = token_advantages(rewards.flatten(), penalty, method.critic(hidden), mask, method.decay)
        spread = torch.zeros_like(advantages)
        spread[mask] = normalised(advantages[mask])
        return spread, returns
    return method.advantages(rewards - penalty.sum(1).view_as(rewards), earlier).flatten(), None


def trained_modules(policy: nn.Module, method: Method) -> nn.Module:
    """Policy and, where there is one, critic, under names that a saved state can keep.

    Args:
        policy: The model.
        method: Perhaps with a critic.
    """
    return nn.ModuleDict({"policy": policy} | ({"critic": method.critic} if method.critic else {}))
