import random


def batches(lengths: list[int], size: int, seed: int) -> list[list[int]]:
    chance = random.Random(seed)
    places = list(range(len(lengths)))
    chance.shuffle(places)  # among equals, chance decides
    places.sort(key=lambda place: lengths[place])  # stable
    made = [places[start : start + size] for start in range(0, len(places), size)]
    chance.shuffle(made)
    return made
