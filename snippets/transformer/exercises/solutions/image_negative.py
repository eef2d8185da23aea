from torch import Tensor


def guided(
    given: Tensor, negative: Tensor, without: Tensor, scale: float, away: float
) -> Tensor:
    given, negative, without = (x.log_softmax(-1) for x in (given, negative, without))
    return without + scale * (given - without) - away * (negative - without)
