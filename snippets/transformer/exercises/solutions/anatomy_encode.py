def encode(word: str, rules: list[tuple[str, str]]) -> list[str]:
    pieces = list(word)
    for left, right in rules:
        place = 0
        while place < len(pieces) - 1:
            if (pieces[place], pieces[place + 1]) == (left, right):
                pieces[place : place + 2] = [left + right]
            place += 1
    return pieces
