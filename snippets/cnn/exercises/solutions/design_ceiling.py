def distances(dilations):
    read = {0}
    for dilation in dilations:
        read = {place + step for place in read for step in (-dilation, 0, dilation)}
    return sorted(place for place in read if place >= 0)  # symmetric


def ceiling(seen, p):
    return 0.5 + 0.5 * sum(p * (1 - p) ** distance for distance in seen)
