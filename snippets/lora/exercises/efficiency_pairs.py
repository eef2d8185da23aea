"""How many pairs does attention by blocks compute, kept or not?

按块计算的注意力一共算多少个位置对？不论留下与否，都算在内。
"""


def computed_pairs(length: int, block: int, window: int, entities: int) -> int:
    # pairs that attention by blocks computes for one sequence, kept or not:
    # each block of queries reads its own block, `window` blocks to each side (beyond
    # the ends, too) and the entities; each entity then reads all `length` tokens;
    # a last block that is not full is computed in full
    # TODO
    return length * length
