def within_budget(ranking, lengths, budget):
    """Places of `ranking` that fit, in the order in which the prompt has them."""
    taken, used = [], 0
    for place in ranking:
        if used + lengths[place] <= budget:
            taken.append(place)
            used += lengths[place]
    return taken
