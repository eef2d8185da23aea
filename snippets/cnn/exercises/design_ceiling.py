"""How much can a stack know? Layers of kernel 3 with the given dilations read some of
the places before a label. Give their distances, and from them the best share of labels
right, if the label is the sign of the last pulse, and each place has a pulse with
probability p.

一叠层最多能知道多少？若干层核为 3 的卷积，扩张率给定，会读到标签之前的某些位置。
请给出这些位置的距离，再由此算出最多能答对多少：标签是最近一个脉冲的符号，每个位置上
有脉冲的概率是 p。
"""


def distances(dilations: list[int]) -> list[int]:
    """What the stack reads at or before a place, as distances, sorted."""
    # TODO: this is the reach; a stack may not read every place up to it
    return list(range(sum(dilations) + 1))


def ceiling(seen: list[int], p: float) -> float:
    """The best share right, from what is seen."""
    # TODO: a half is right by guessing; add what each distance contributes
    return 0.5
