def dilations(p, wanted):
    found, reach = [], 0
    while 1 - (1 - p) ** (reach + 1) / 2 < wanted:
        found.append(2 * reach + 1)  # as wide as what is read on both sides: no hole
        reach += found[-1]
    return found
