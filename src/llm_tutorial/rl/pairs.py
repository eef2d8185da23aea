"""Answers that were drawn once and for all: the best of several, pairs for DPO, examples for fine-tuning."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.packing import Example
from llm_tutorial.rl.dpo import dpo_loss
from llm_tutorial.rl.sampling import Completion
from llm_tutorial.rl.scoring import group_scores


class Pair(NamedTuple):
    """Two answers to a prompt, and their log-probabilities under the reference."""

    chosen: Completion
    rejected: Completion
    reference_chosen: float
    reference_rejected: float


def ranked_pairs(
    groups: Sequence[Sequence[Completion]],
    rewards: Tensor,
    reference_log_probs: Tensor | None = None,
    margin: float = 0.1,
) -> list[Pair]:
    """Of each group the best and the worst answer, where their rewards differ by more than ``margin``.

    Args:
        groups: Answers, as many in each group.
        rewards: (groups, answers).
        reference_log_probs: Of each answer under the reference, (groups, answers); by default that with which it was
            drawn, which is right where the reference drew it at temperature 1.
        margin: Least difference.

    Raises:
        ValueError: No group has such a difference.

    Example:
        >>> good, bad = (Completion("", [1], [n], [-float(n)], "", False) for n in (5, 6))
        >>> pairs = ranked_pairs([[bad, good]], torch.tensor([[0.0, 1.0]]))
        >>> [(pair.chosen.ids, pair.reference_rejected) for pair in pairs]
        [([5], -6.0)]
    """
    if reference_log_probs is None:
        drawn = [[sum(answer.log_probs) for answer in group] for group in groups]
        reference_log_probs = torch.tensor(drawn)
    pairs = []
    for group, scores, known in zip(groups, rewards, reference_log_probs.tolist(), strict=True):
        best, worst = int(scores.argmax()), int(scores.argmin())
        if scores[best] - scores[worst] > margin:
            pairs.append(Pair(group[best], group[worst], known[best], known[worst]))
    if not pairs:
        raise ValueError("no group has answers of different rewards\n没有一组的回答奖励不同")
    return pairs


def pair_loss(model: nn.Module, pairs: Sequence[Pair], device: Any = None, beta: float = 0.1) -> Tensor:
    """The DPO loss of pairs, summed: what ``llm_tutorial.training.fit`` takes, with ``count=len``.

    Args:
        model: The policy.
        pairs: With their reference's log-probabilities.
        device: Where the policy is; it is asked itself.
        beta: As for ``dpo_loss``.
    """
    sums = group_scores(model, [[pair.chosen, pair.rejected] for pair in pairs]).log_probs.sum(1).view(-1, 2)
    known = torch.tensor([pair[2:] for pair in pairs], device=sums.device)
    return dpo_loss(sums[:, 0], sums[:, 1], known[:, 0], known[:, 1], beta) * len(pairs)


def examples(completions: Sequence[Completion]) -> list[Example]:
    """Answers as examples for supervised fine-tuning; those without an end, and doubles, are left out.

    Example:
        >>> whole, cut = Completion("", [1], [5, 2], [], "", False), Completion("", [1], [5, 5], [], "", True)
        >>> examples([whole, cut, whole])
        [Example(input_ids=[1, 5, 2], answer_from=1)]
    """
    kept = {(*each.prompt_ids, *each.ids): len(each.prompt_ids) for each in completions if not each.cut}
    return [Example(list(ids), start) for ids, start in kept.items()]


def best_of(rewards: Tensor, count: int) -> float:
    """Expected best reward of ``count`` answers drawn from those of each group, averaged over groups.

    Every choice of so many different answers of the group counts alike: the estimate that has no bias.

    Args:
        rewards: (groups, answers).
        count: From 1 to the answers of a group.

    Raises:
        ValueError: There are fewer answers than ``count``.

    Example:
        >>> best_of(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), 2)
        0.5
    """
    answers = rewards.shape[1]
    if not 1 <= count <= answers:
        raise ValueError(
            f"best of {count}: a group has {answers} answers\n要取 {count} 个中最好的，可是每组只有 {answers} 个回答"
        )
    ranked = rewards.double().sort(1).values
    weights = torch.tensor([math.comb(place, count - 1) for place in range(answers)], dtype=torch.float64)
    return float((ranked * weights / math.comb(answers, count)).sum(1).mean())
