def crossover(lengths: list[int], ratios: list[float]) -> float | None:
    # the length from which on sparse attention is never slower: ratios[i] is dense over sparse at lengths[i];
    # between two lengths, log(ratio) is linear in log(length);
    # lengths[0] if it never is slower, None if it is slower at the end
    # TODO
    for length, ratio in zip(lengths, ratios, strict=True):
        if ratio > 1:
            return length
    return None
