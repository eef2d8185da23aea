def computed_pairs(length: int, block: int, window: int, entities: int) -> int:
    # pairs that attention by blocks computes for one sequence, kept or not:
    # each block of queries reads its own block, `window` blocks to each side (beyond the ends, too) and the entities;
    # each entity then reads all `length` tokens; a last block that is not full is computed in full
    # TODO
    return length * length
