import numpy as np


def interval(ours, theirs, draw):
    gain = ours.astype(float) - theirs  # 1, 0 or -1 for each review
    resampled = draw.choice(gain, (2000, len(gain))).mean(1)
    return tuple(np.quantile(resampled, [0.025, 0.975]))
