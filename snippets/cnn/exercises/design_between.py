"""Between mean and max: write log-mean-exp pooling, (1 / beta) · log of the mean of
exp(beta · x) over all places. It must not overflow, however large beta or x are.

在平均与最大之间：写出 log-mean-exp 池化，即对所有位置的 exp(beta · x) 取平均，取对数，
再乘 1 / beta。无论 beta 或 x 多大，都不许溢出。
"""

from torch import Tensor


def between(x: Tensor, beta: float) -> Tensor:
    """(batch, channels, places) -> (batch, channels), for beta > 0."""
    # TODO: exp() overflows, and this is not the pooling yet
    return (beta * x).exp().sum(-1).log()
