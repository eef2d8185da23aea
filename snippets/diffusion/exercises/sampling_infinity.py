"""The Fréchet distance of n samples is too large by about b / n. Measured with several
n, it can be extrapolated: fit a + b / n by least squares, and return a, the distance
that infinitely many samples would have.

有限个样本的弗雷歇距离偏大，大约多出 b / n。用几个不同的 n 各测一次，就能外推：
用最小二乘拟合 a + b / n，返回 a，也就是样本无穷多时的距离。
"""


def at_infinity(sizes, distances):
    # sizes, distances: (measurements,), float64
    # TODO: fit distances = a + b / sizes; this is the distance of the largest n
    return distances[sizes.argmax()]
