def computed_pairs(length: int, block: int, window: int, entities: int) -> int:
    blocks = -(-length // block)  # rounded up
    keys = (2 * window + 1) * block + entities  # of each query
    return blocks * block * keys + entities * length
