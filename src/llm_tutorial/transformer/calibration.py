"""From scores to decisions: a temperature, calibration error with its bias, and the threshold for a cost.

Sources: temperature scaling, Guo et al. 2017 (arXiv:1706.04599); expected calibration error, Naeini et al. 2015; its
bias, Nixon et al. 2019 (arXiv:1904.01685); decisions at a cost, Elkan 2001.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Bins(NamedTuple):
    """Predictions sorted by confidence into bins; empty ones are left out.

    Attributes:
        share: Of the predictions that are in a bin, (bins,).
        confidence: Their mean confidence, (bins,).
        accuracy: How many of them are right, (bins,).
    """

    share: Tensor
    confidence: Tensor
    accuracy: Tensor


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raises an error where logits and labels do not belong together.

    Raises:
        ValueError: No predictions, another number of labels, or a label that is no class.

    Example:
        >>> check_labels(torch.zeros(2, 3), torch.tensor([0, 3]))
        Traceback (most recent call last):
        ValueError: labels must be from 0 to 2, one for each of the 2 rows of logits; got 2 from 0 to 3
        标签应为 0 到 2，2 行 logits 每行一个；得到的是 2 个，从 0 到 3
    """
    if logits.ndim != 2 or not len(logits):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)}: expected (texts, classes), with at least one text\n"
            f"logits 的形状是 {tuple(logits.shape)}：应为（文本，类别），且至少一条文本"
        )
    lowest, highest = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if len(labels) != len(logits) or lowest < 0 or highest >= logits.shape[1]:
        last = logits.shape[1] - 1
        raise ValueError(
            f"labels must be from 0 to {last}, one for each of the {len(logits)} rows of logits; got {len(labels)} "
            f"from {lowest} to {highest}\n"
            f"标签应为 0 到 {last}，{len(logits)} 行 logits 每行一个；得到的是 {len(labels)} 个，从 {lowest} 到 {highest}"
        )


def fit_temperature(logits: Tensor, labels: Tensor, steps: int = 100) -> float:
    """The temperature with the least cross-entropy, by Newton's method in its inverse.

    Args:
        logits: (texts, classes) of a validation set.
        labels: (texts,).
        steps: At most.

    Returns:
        What logits shall be divided by; above 1 where the model was too sure.

    Raises:
        ValueError: Logits and labels do not belong together, or there is no best temperature: every text is right (the
            lower, the better), or the model does no better than a constant guess (the higher, the better).

    Example:
        >>> logits = torch.tensor([[4.0, 0.0]] * 4)  # 98 % sure, right three times in four
        >>> round(fit_temperature(logits, torch.tensor([0, 0, 0, 1])), 3)  # 4 / log 3
        3.641
    """
    check_labels(logits, labels)
    z = logits.double()
    right = z.gather(1, labels[:, None])[:, 0]  # (texts,)
    if bool((right >= z.max(1).values).all()):
        raise ValueError(
            "every text is classified right: the lower the temperature, the lower the loss; use more validation texts\n"
            "每条文本都分对了：温度越低，损失越低，没有最佳值；请用更多的验证文本"
        )
    if float((z.mean(1) - right).mean()) >= 0:  # slope at an inverse of 0
        raise ValueError(
            "these logits say nothing of these labels: no temperature above 0 is best; is the order of classes right?\n"
            "这些 logits 与标签无关：没有大于 0 的最佳温度；类别的顺序对吗？"
        )

    def loss(beta: float) -> float:
        return float((torch.logsumexp(beta * z, 1) - beta * right).mean())

    beta = 1.0
    for _ in range(steps):
        p = (beta * z).softmax(1)
        mean = (p * z).sum(1)
        slope = float((mean - right).mean())
        curvature = float(((p * z.square()).sum(1) - mean.square()).mean())
        step = slope / max(curvature, 1e-12)
        while beta - step <= 0 or loss(beta - step) > loss(beta) + 1e-15:  # too long: half of it
            step /= 2
            if abs(step) < 1e-14:
                break
        beta -= step
        if abs(step) < 1e-12 * beta:
            break
    return 1 / beta


def bin_predictions(confidence: Tensor, right: Tensor, bins: int = 15, equal_mass: bool = False) -> Bins:
    """Sorts predictions into bins by their confidence.

    Args:
        confidence: Probability of the class that is predicted, (texts,).
        right: Whether it was right, (texts,).
        bins: How many.
        equal_mass: As many predictions in each bin, in place of bins of equal width; ties are cut by their order.

    Raises:
        ValueError: No predictions, a probability outside 0 to 1, or fewer than one bin.

    Example:
        >>> bin_predictions(torch.tensor([0.55, 0.6, 0.95]), torch.tensor([1, 0, 1]), bins=2, equal_mass=False).share
        tensor([1.], dtype=torch.float64)
    """
    p, hit = confidence.double(), right.double()
    if bins < 1 or not len(p) or len(p) != len(hit) or not bool(((p >= 0) & (p <= 1 + 1e-9)).all()):
        raise ValueError(
            "give at least one bin, and probabilities from 0 to 1, each with whether it was right\n"
            "至少要有一个区间；概率在 0 到 1 之间，每个都要注明是否正确"
        )
    if equal_mass:
        place = torch.empty(len(p), dtype=torch.long)
        place[p.argsort(stable=True)] = torch.arange(len(p)) * bins // len(p)
    else:
        place = (p * bins).ceil().long().clamp(1, bins) - 1  # a bin holds its upper edge, as in Guo et al.
    count = torch.bincount(place, minlength=bins).double()
    some = count > 0
    mean, accuracy = (torch.bincount(place, each, minlength=bins)[some] / count[some] for each in (p, hit))
    return Bins(count[some] / len(p), mean, accuracy)


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15, equal_mass: bool = False) -> float:
    """Expected calibration error: how far confidence is from accuracy, as the mean over the bins' predictions.

    Args:
        confidence: As of ``bin_predictions``.
        right: As of ``bin_predictions``.
        bins: How many.
        equal_mass: As of ``bin_predictions``.

    Raises:
        ValueError: As of ``bin_predictions``.

    Example:
        >>> round(calibration_error(torch.tensor([0.9, 0.9, 0.9, 0.9]), torch.tensor([1, 1, 0, 0])), 3)
        0.4
    """
    found = bin_predictions(confidence, right, bins, equal_mass)
    return float((found.share * (found.accuracy - found.confidence).abs()).sum())


def error_by_chance(confidence: Tensor, bins: int = 15, equal_mass: bool = False) -> float:
    """The calibration error that a perfectly calibrated model would show on as many texts, by a normal approximation.

    In a bin of n texts the mean of (right - confidence) has variance v / n, with v the mean of p (1 - p); the absolute
    value of a normal variable with that variance is sqrt(2 v / (pi n)) on average.

    Args:
        confidence: As of ``bin_predictions``.
        bins: How many.
        equal_mass: As of ``bin_predictions``.

    Raises:
        ValueError: As of ``bin_predictions``.

    Example:
        >>> p = torch.full((1000,), 0.8)
        >>> round(error_by_chance(p), 4), round((2 * 0.16 / (math.pi * 1000)) ** 0.5, 4)
        (0.0101, 0.0101)
    """
    spread = bin_predictions(confidence, confidence * (1 - confidence), bins, equal_mass)  # "accuracy" is p (1 - p)
    count = spread.share * len(confidence)
    return float((spread.share * (2 * spread.accuracy / (math.pi * count)).sqrt()).sum())


def cost_threshold(false_alarm: float, miss: float) -> float:
    """The probability from which acting is cheaper than not acting.

    Args:
        false_alarm: Cost of acting where nothing was the matter.
        miss: Cost of not acting where something was.

    Raises:
        ValueError: A cost that is not positive.

    Example:
        >>> cost_threshold(1, 9)
        0.1
    """
    if not (false_alarm > 0 and miss > 0):
        raise ValueError(
            f"costs must be positive; got {false_alarm} and {miss}\n代价必须是正数；得到 {false_alarm} 和 {miss}"
        )
    return false_alarm / (false_alarm + miss)


def mean_cost(probability: Tensor, positive: Tensor, threshold: float, false_alarm: float, miss: float) -> float:
    """What decisions cost on average: act where the probability is at least the threshold.

    Args:
        probability: That something is the matter, (texts,).
        positive: Whether something was, (texts,).
        threshold: From which to act.
        false_alarm: Cost of acting in vain.
        miss: Cost of not acting where one should have.

    Example:
        >>> mean_cost(torch.tensor([0.2, 0.7]), torch.tensor([1, 0]), threshold=0.5, false_alarm=1, miss=9)
        5.0
    """
    act, true = probability >= threshold, positive.bool()
    return float((false_alarm * (act & ~true).double() + miss * (~act & true).double()).mean())
