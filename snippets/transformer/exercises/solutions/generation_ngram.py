def forbidden(tokens: list[int], n: int) -> set[int]:
    last = tokens[len(tokens) - (n - 1) :]
    return {
        tokens[place + n - 1]
        for place in range(len(tokens) - n + 1)
        if tokens[place : place + n - 1] == last
    }
