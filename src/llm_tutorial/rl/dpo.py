"""DPO (Rafailov et al., 2023, arXiv:2305.18290): learning from pairs, without sampling and without a reward model."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo_loss(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """Equation 7 of the paper: the better answer shall have gained more log-probability than the worse one.

    Args:
        chosen: Log-probability of each better answer, summed over its tokens, (pairs,).
        rejected: Of each worse one.
        reference_chosen: Of the better one under the reference.
        reference_rejected: Of the worse one under the reference.
        beta: How strongly the policy is held to the reference.

    Example:
        >>> import torch
        >>> round(dpo_loss(*torch.tensor([[-5.0], [-9.0], [-6.0], [-6.0]]), beta=0.5).item(), 4)
        0.1269
    """
    gained = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -logsigmoid(beta * gained).mean()


def margins(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """The reward that the policy implies for the better answer minus that for the worse one, (pairs,).

    Args:
        chosen: As for ``dpo_loss``.
        rejected: As for ``dpo_loss``.
        reference_chosen: As for ``dpo_loss``.
        reference_rejected: As for ``dpo_loss``.
        beta: As for ``dpo_loss``.

    Example:
        >>> import torch
        >>> margins(*torch.tensor([[-5.0], [-9.0], [-6.0], [-6.0]]), beta=0.5)
        tensor([2.])
    """
    return beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
