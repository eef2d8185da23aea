import math


def between(x, beta):
    total = (beta * x).logsumexp(-1)  # subtracts the largest before exp()
    return (total - math.log(x.shape[-1])) / beta
