import math


def crossover(lengths: list[int], ratios: list[float]) -> float | None:
    slower = [index for index, ratio in enumerate(ratios) if ratio < 1]
    if not slower:
        return lengths[0]
    last = slower[-1]
    if last == len(ratios) - 1:
        return None
    low, high = math.log(ratios[last]), math.log(ratios[last + 1])
    share = -low / (high - low)
    return lengths[last] * (lengths[last + 1] / lengths[last]) ** share
