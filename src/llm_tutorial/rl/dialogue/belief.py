"""The belief over what the user wants: Bayes' rule for a channel that mishears.

A belief is (dialogues, slots, values), each row a distribution; the slots are kept apart. The channel, which the
simulator draws from and the belief inverts: a value is misheard with the noise as probability, and then as
``confusion`` says; yes and no are swapped with half of it. With each value comes a confidence, drawn from a
Beta(4, 2) if it was heard right and from a Beta(2, 4) if not.
"""

import numpy as np

from llm_tutorial.rl.dialogue.domain import EXISTS, SLOTS, Flags, Floats, Ints, confusion

NOTHING = -1  # no value, no answer was heard
RIGHT, WRONG = (4.0, 2.0), (2.0, 4.0)  # Beta distributions of the confidence


def no_belief(count: int) -> Floats:
    """Every value as likely as any other.

    Args:
        count: Dialogues.

    Example:
        >>> no_belief(1)[0, 3, :4].round(2).tolist()
        [0.33, 0.33, 0.33, 0.0]
    """
    return np.tile(EXISTS / EXISTS.sum(1, keepdims=True), (count, 1, 1))


def hear_values(belief: Floats, heard: Ints, confidence: Floats, noise: Floats) -> Floats:
    """The belief after values were heard.

    Args:
        belief: Before, (dialogues, slots, values).
        heard: What was heard of each slot, or ``NOTHING``: (dialogues, slots).
        confidence: Of the recogniser in it, between 0 and 1: (dialogues, slots).
        noise: Probability of mishearing a value, (dialogues,).

    Example:
        >>> heard = np.array([[6, NOTHING, NOTHING, NOTHING]])  # Budapest
        >>> after = hear_values(no_belief(1), heard, np.full((1, 4), 0.5), np.array([0.3]))
        >>> after[0, 0, [6, 5, 7]].round(2).tolist()  # Budapest, Bucharest, Paris
        [0.65, 0.13, 0.02]
    """
    slots = np.arange(len(SLOTS))
    as_said = confusion()[slots, :, heard]  # (dialogues, slots, values said): how each would become what was heard
    odds = (confidence / (1 - confidence)) ** 2  # of Beta(4, 2) against Beta(2, 4): 20 c³(1-c) / 20 c(1-c)³
    likelihood = noise[:, None, None] * as_said
    matched = np.arange(belief.shape[-1]) == heard[..., None]
    likelihood = np.where(matched, ((1 - noise)[:, None] * odds)[..., None], likelihood)
    likelihood = np.where((heard == NOTHING)[..., None], 1.0, likelihood)
    return normalise(belief * likelihood)


def hear_answer(
    belief: Floats,
    asked: Flags,
    answer: Ints,
    noise: Floats,
    came: Flags | None = None,
    corrects: float = 0.6,
) -> Floats:
    """The belief after a yes or no to "the likeliest values of these slots: right?".

    Asked for several slots at once, a no says that one of them is wrong, not which. A value that comes with the answer
    is a correction: its slot is wrong. Of that value nothing is used here; it goes through ``hear_values``.

    Args:
        belief: Before, (dialogues, slots, values).
        asked: Which slots were in the question, (dialogues, slots).
        answer: What was heard: 1 yes, 0 no, or ``NOTHING``.
        noise: Yes and no are swapped with half of it, (dialogues,).
        came: The slots of which a value came with the answer, (dialogues, slots); without it this says nothing.
        corrects: Probability that a no comes with a value.

    Example:
        >>> belief = hear_values(no_belief(1), np.array([[6, -1, -1, -1]]), np.full((1, 4), 0.5), np.array([0.3]))
        >>> asked = np.array([[True, False, False, False]])
        >>> yes, noise = np.array([1]), np.array([0.3])
        >>> hear_answer(belief, asked, yes, noise)[0, 0, 6].round(2)  # yes, Budapest
        np.float64(0.91)
        >>> hear_answer(belief, asked, yes, noise, asked)[0, 0, 6].round(2)  # "yes, Rome" was a no
        np.float64(0.0)
    """
    swapped = (noise / 2)[:, None]
    if_right = np.where(answer[:, None] == 1, 1 - swapped, swapped)  # (dialogues, 1): everything asked is right
    if_wrong = 1 - if_right
    none = np.zeros_like(asked) if came is None else came
    if came is not None:
        corrected = came.any(1, keepdims=True)
        if_right = np.where(corrected, 0.0, if_right)
        if_wrong = if_wrong * np.where(corrected, corrects, 1 - corrects)
    best = np.where(asked, belief.max(-1), 1.0)
    others = best.prod(1, keepdims=True) / np.maximum(best, 1e-12)  # the other slots are right
    top = np.arange(belief.shape[-1]) == belief.argmax(-1)[..., None]
    if_top = np.where(none, 0.0, others * if_right + (1 - others) * if_wrong)
    if came is not None:  # the correction explains the no: nothing new about the slots that were not corrected
        if_top = np.where(corrected & ~none, if_wrong, if_top)
    likelihood = np.where(top, if_top[..., None], if_wrong[..., None])
    return normalise(belief * np.where((asked & (answer != NOTHING)[:, None])[..., None], likelihood, 1.0))


def normalise(belief: Floats, floor: float = 1e-6) -> Floats:
    """Rows that sum to 1, in which no value of a slot is ever ruled out.

    Args:
        belief: Not negative, (dialogues, slots, values).
        floor: Least probability, before the last division.

    Example:
        >>> bool(normalise(np.zeros((1, 4, 12)))[0, 0, 0] > 0)
        True
    """
    total = belief.sum(-1, keepdims=True)
    belief = np.where(total > 0, belief / np.where(total > 0, total, 1.0), 0.0)
    belief = np.maximum(belief, floor * EXISTS)
    result: Floats = belief / belief.sum(-1, keepdims=True)
    return result
