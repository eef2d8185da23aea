import numpy as np


def paired_bootstrap(
    ours: np.ndarray, theirs: np.ndarray, samples: int = 10_000, seed: int = 0
) -> tuple[float, tuple[float, float], float]:
    difference = ours - theirs  # (items,): an item drawn counts for both systems
    drawn = np.random.default_rng(seed).choice(difference, (samples, len(difference)))
    means = drawn.mean(1)  # (samples,)
    low, high = np.percentile(means, [2.5, 97.5])
    not_better = float((means <= 0).mean())
    return float(difference.mean()), (float(low), float(high)), not_better
