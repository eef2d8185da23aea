"""Group texts of like length into batches, so that little is padded, and keep the
batches in random order, so that training does not go from short to long.

把长度相近的文本编成一批，少做填充；批与批之间的次序仍要随机，免得训练从短到长。
"""

import random


def batches(lengths: list[int], size: int, seed: int) -> list[list[int]]:
    # lengths: tokens of each text; returns the texts' places, `size` to a batch
    # (the last batch that is made may be smaller)
    # TODO: shuffled batches pad each text to the longest of 16 random ones
    places = list(range(len(lengths)))
    random.Random(seed).shuffle(places)
    return [places[start : start + size] for start in range(0, len(places), size)]
