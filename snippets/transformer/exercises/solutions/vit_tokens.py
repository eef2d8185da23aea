def cost(side: int, patch: int, width: int, layers: int, inner: int) -> tuple[int, int]:
    tokens = (side // patch) ** 2 + 1
    matrices = 4 * width**2 + 2 * width * inner
    attention = 2 * tokens * width  # of each token: scores, and the sum of values
    return tokens, layers * tokens * (matrices + attention)
