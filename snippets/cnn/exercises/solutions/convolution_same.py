def same_padding(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    places = -(-n // stride)  # ceil
    span = dilation * (kernel - 1) + 1
    total = max((places - 1) * stride + span - n, 0)
    return total // 2, total - total // 2
