from itertools import pairwise


def invert(x, levels, guess_at):
    for now, then in pairwise(levels):
        (a_t, sigma_t), (a_s, sigma_s) = now, then
        guess = guess_at(x, a_t, sigma_t)
        noise = (x - a_t * guess) / sigma_t
        x = a_s * guess + sigma_s * noise
    return x
