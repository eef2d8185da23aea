def parts(y, weight, tokens, region):
    values, places = y.max(-1)
    found = {}
    added = (weight[1] - weight[0]) * values
    for i, value in zip(places.tolist(), added.tolist(), strict=True):
        ngram = tuple(tokens[i : i + region])
        found[ngram] = found.get(ngram, 0.0) + value
    return found
