"""From which length on is sparse attention never slower? Read it from measurements,
which may cross more than once.

从多长开始，稀疏注意力再也不会更慢？
请从测量结果里读出来；曲线可能不止一次越过 1。
"""


def crossover(lengths: list[int], ratios: list[float]) -> float | None:
    # the length from which on sparse attention is never slower:
    # ratios[i] is dense over sparse at lengths[i];
    # between two lengths, log(ratio) is linear in log(length);
    # lengths[0] if it never is slower, None if it is slower at the end
    # TODO
    for length, ratio in zip(lengths, ratios, strict=True):
        if ratio > 1:
            return length
    return None
