def dilations(places: int) -> list[int]:
    found, field = [], 1
    while field < places:
        found.append(field)  # its three copies of what was seen so far touch each other
        field *= 3
    return found
