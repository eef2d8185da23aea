"""A batch is padded to its longest text: it costs size times longest.
Take waiting texts, first come, first served, as long as that stays within a budget;
a text that is beyond it goes alone.

一批文本都要填充到最长的那段：代价是段数乘以最长的长度。
按先来先服务取出等待的文本，只要代价不超过预算；单独一段就超出的，自己成一批。
"""


def take(lengths: list[int], budget: int) -> int:
    # lengths: tokens of the waiting texts, the earliest first; at least one
    # returns how many of them, from the front, make the next batch: at least one
    # TODO: the price is not the sum of the lengths
    total, count = 0, 0
    for length in lengths:
        total += length
        if total > budget:
            break
        count += 1
    return count
