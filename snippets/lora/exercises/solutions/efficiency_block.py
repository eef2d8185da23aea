def intensity(block: int, window: int, entities: int) -> float:
    keys = (2 * window + 1) * block + entities
    operations = 4 * block * keys  # of a block and of one of the d numbers
    moved = 4 * (2 * block + 3 * 2 * keys)  # bytes
    return operations / moved


def smallest_block(ridge: float, window: int, entities: int) -> int:
    block = 1
    while intensity(block, window, entities) < ridge:
        block *= 2
    return block
