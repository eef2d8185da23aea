"""How many operations does attention by blocks do for each byte that it moves, and
from which block size on is the processor its limit, no longer the memory?

按块计算的注意力，每搬一个字节做多少次运算？
块从多大开始，限制它的是处理器，而不再是内存？
"""


def intensity(block: int, window: int, entities: int) -> float:
    # floating-point operations for each byte that attention by blocks moves, float32,
    # in a fused kernel: a pair costs 4 operations for each of the d numbers of a head;
    # a query and its output are moved once; the keys and values of a block are read,
    # written side by side, read again, once for all queries of the block
    # TODO: d cancels
    return 1.0


def smallest_block(ridge: float, window: int, entities: int) -> int:
    # the smallest power of two whose intensity is not below the ridge of the machine
    # TODO
    return 1
