"""PPO (Schulman et al., 2017, arXiv:1707.06347): several steps on the same answers, and not too far."""

import torch
from torch import Tensor, nn

from llm_tutorial.rl.advantages import gae


def clipped_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, low: float = 0.2, high: float = 0.2
) -> Tensor:
    """Equation 7 of the paper with its sign turned, for each token: a loss that stops paying outside the interval.

    Args:
        log_probs: Under the policy that is trained, any shape.
        old_log_probs: Under the policy that wrote the answers.
        advantages: Of the same shape, or one that broadcasts.
        low: The ratio is clipped below 1 - low.
        high: And above 1 + high; DAPO takes more here than below.

    Example:
        >>> ratio = torch.tensor([0.5, 1.0, 1.5])
        >>> clipped_loss(ratio.log(), torch.zeros(3), torch.tensor(1.0))
        tensor([-0.5000, -1.0000, -1.2000])
        >>> clipped_loss(ratio.log(), torch.zeros(3), torch.tensor(-1.0))
        tensor([0.8000, 1.0000, 1.5000])
    """
    ratio = (log_probs - old_log_probs).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def token_advantages(
    rewards: Tensor, penalty: Tensor, values: Tensor, mask: Tensor, decay: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates of each token of answers that are paid at their end, and the returns.

    Args:
        rewards: Of each answer, (answers,).
        penalty: Taken from the reward of each token, (answers, tokens); such as a weighted KL.
        values: Of the state before each token, (answers, tokens).
        mask: Where there are tokens.
        decay: Lambda of GAE; the discount is 1.

    Returns:
        Advantages and returns, (answers, tokens), 0 where there is no token.

    Example:
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> advantages, returns = token_advantages(
        ...     torch.tensor([1.0, 0.0]), torch.zeros(2, 2), torch.full((2, 2), 0.5), mask, decay=1.0
        ... )
        >>> advantages.tolist(), returns.tolist()
        ([[0.5, 0.5], [-0.5, 0.0]], [[1.0, 1.0], [0.0, 0.0]])
    """
    last = mask.cumsum(1).argmax(1)
    paid = torch.where(mask, -penalty, torch.zeros_like(penalty))
    paid = paid.scatter_add(1, last[:, None], rewards[:, None].to(paid))
    terminated = torch.zeros_like(mask).scatter(1, last[:, None], True)
    values = values * mask
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    advantages = gae(paid.T, values.T, after.T, terminated.T, torch.zeros_like(terminated).T, 1.0, decay).T * mask
    return advantages, (advantages + values) * mask


class Critic(nn.Module):
    """The value of the text so far, read from a language model's last hidden state by one linear layer.

    Args:
        width: Width of the hidden state.

    Example:
        >>> Critic(4)(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.value = nn.LayerNorm(width), nn.Linear(width, 1)
        nn.init.zeros_(self.value.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, width) to (…)."""
        return self.value(self.norm(hidden)).squeeze(-1)


def value_loss(values: Tensor, returns: Tensor, mask: Tensor, tokens: int | None = None) -> Tensor:
    """Half the mean squared error of the critic over tokens.

    Args:
        values: (answers, tokens).
        returns: What they should have been.
        mask: Where there are tokens.
        tokens: Of the whole batch, where this is a part of it.

    Example:
        >>> value_loss(torch.tensor([[1.0, 9.0]]), torch.zeros(1, 2), torch.tensor([[True, False]]))
        tensor(0.5000)
    """
    return ((values - returns).square() * mask).sum() / (2 * (tokens or int(mask.sum())))
