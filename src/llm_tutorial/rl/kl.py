"""Three estimates of the KL divergence from samples (Schulman, 2020, "Approximating KL divergence").

The samples come from the policy, and both it and the reference say how probable they are.
"""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor, estimator: Estimator = "k3") -> Tensor:
    """An estimate of KL(policy, reference) for each sample, of any shape.

    ``k1 = log π − log ref`` has the right mean and may be negative. ``k2 = k1² / 2`` is biased. ``k3 = e^{−k1} − 1 + k1``
    has the right mean, is never negative, and varies less where policy and reference are near. In a *loss* they behave
    otherwise: there the gradient of k1 is 0 on average, that of k2 is the right one, and that of k3 belongs to
    KL(reference, policy).

    Args:
        log_probs: Under the policy that drew the samples.
        reference_log_probs: Under the reference.
        estimator: Which.

    Example:
        >>> policy, reference = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
        >>> {name: round(kl_estimate(policy, reference, name).mean().item(), 3) for name in ("k1", "k2", "k3")}
        {'k1': 0.144, 'k2': 0.161, 'k3': 0.144}
    """
    ratio = log_probs - reference_log_probs
    if estimator == "k1":
        return ratio
    if estimator == "k2":
        return ratio.square() / 2
    return torch.expm1(-ratio) + ratio
