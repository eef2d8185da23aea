"""Without fresh noise the way from noise to sample can be walked backwards, from a
sample to the noise that it is drawn from. Formula (1) serves for that as well; only the
guess comes from the less noisy end of each step, so steps must be small. Editing
pictures builds on it ("DDIM inversion"). Write the way to the noise.

不添新噪声时，从噪声到样本的路可以倒着走，由样本找出画出它的那份噪声。
用的还是公式 (1)，只是猜测来自每一步噪声较弱的一头，所以步子要小。
编辑图片的方法就建立在这上面，叫 DDIM 反演。请写出走向噪声的路。
"""

from itertools import pairwise

import torch


def invert(x, levels, guess_at):
    # levels: (a, sigma) from the least noisy to the noisiest; x is at the first,
    # whose sigma is not 0
    # guess_at(x, a, sigma): the clean sample that the network guesses
    for now, then in pairwise(levels):
        (a_t, sigma_t), (a_s, sigma_s) = now, then
        guess = guess_at(x, a_t, sigma_t)
        # TODO: this draws any noise; take the one that x holds
        x = a_s * guess + sigma_s * torch.randn_like(x)
    return x
