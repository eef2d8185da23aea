"""From p / n^a = P / N^a follows (N / n)^a = P / p."""

import math


def overtakes(shorter: tuple[float, int], longer: tuple[float, int]) -> float:
    ratio = longer[0] / shorter[0]  # both negative
    return math.log(ratio) / math.log(longer[1] / shorter[1])
