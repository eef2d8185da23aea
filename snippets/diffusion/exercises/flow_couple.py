"""Flow matching draws noise and data apart, and their lines cross. Within a batch one
may pair them better: give the order of the noises for which the sum of the squared
distances, each to its datum, is least (scipy.optimize.linear_sum_assignment finds it).

流匹配把噪声与数据分开抽取，它们的连线彼此交叉。在一批之内可以配得更好：
请给出噪声的排列，使每个噪声到与它配对的数据的距离平方之和最小
（scipy.optimize.linear_sum_assignment 能找到它）。
"""

import torch


def couple(x0, noise):
    # x0, noise: (batch, dimensions); returns the noises in another order
    # TODO: the squared distance of each datum to each noise, and the best assignment
    return noise[torch.arange(len(x0))]
