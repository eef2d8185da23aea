"""Two systems sat the same exam and one scored a little higher. Would another exam
have said the same? Resample the questions, in pairs.

两个系统做了同一份考卷，一个略高。换一份考卷还会这样吗？
请成对地重抽题目。
"""

import numpy as np


def paired_bootstrap(
    ours: np.ndarray, theirs: np.ndarray, samples: int = 10_000, seed: int = 0
) -> tuple[float, tuple[float, float], float]:
    # ours, theirs: (items,), scores of two systems on the same documents, messages or
    # reviews; 1.0 for right, 0.0 for wrong
    # returns the mean of ours less that of theirs, the 2.5th and the 97.5th percentile
    # of this difference over resamples, and the share of those where ours is not better
    generator = np.random.default_rng(seed)
    our_means = generator.choice(ours, (samples, len(ours))).mean(1)  # (samples,)
    their_means = generator.choice(theirs, (samples, len(theirs))).mean(1)
    # TODO: items that are hard for one system are hard for the other; the interval is
    # too wide if this is lost
    low, high = np.percentile(our_means - their_means, [2.5, 97.5])
    not_better = 0.5  # TODO
    return float(ours.mean() - theirs.mean()), (float(low), float(high)), not_better
