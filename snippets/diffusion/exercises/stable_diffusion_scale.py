"""The scaling factor is one over the standard deviation of all numbers in the latents
of the training pictures. They do not fit into memory together, so they come in
batches of different sizes. Compute the factor from sums that can be kept.

缩放系数是训练图片的潜变量里所有数的标准差的倒数。它们不能同时放进内存，所以一批一批地来，
每批大小不一。请用可以累加的和算出这个系数。
"""

import torch


def scaling_factor(batches):
    # batches: tensors of latents, (pictures, channels, side, side)
    # TODO: this is the mean of the deviations of batches; which sums are needed?
    deviations = [latents.std(correction=0) for latents in batches]
    return (1 / torch.stack(deviations).mean()).item()
