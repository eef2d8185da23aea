def layers_needed(n: int, b: int, w: int) -> int:
    blocks = -(-n // b)  # rounded up
    return max(1, -(-(blocks - 1) // w))
