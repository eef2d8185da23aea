"""A task that a rule can check: one sentence with three given words.

Common English nouns, chosen by hand; every third is held out, so that no word of a test was seen in training.
"""

import random
import re
from collections.abc import Sequence

from llm_tutorial.rl.rewards import Part, Rubric

NOUNS = """
apple baby bank barn basket beach bear bed bell bird boat bone book bottle box bread bridge brother bus butter
button cake camera candle captain car carpet castle cat chair cheese chicken church city clock cloud coat
coffee cook corn cow crown daughter desk doctor dog door dress driver drum eagle ear egg engine eye face
farmer fence field finger fish floor flower forest fox friend frog garden gate ghost glass gold grass guitar
hammer hand hat hill honey horse hospital house ice island jacket judge king kitchen knife lake lamp leaf
letter library lion market milk mirror money monkey moon mountain mouse music neck nest nurse ocean office
onion orange owl page paint palace paper pencil piano picture pig pilot plate pocket poem police potato prince
queen rabbit radio rain ring river road rock roof room rope rose salt school shark sheep ship shirt shoe
sister snow soldier soup spider star stone storm student sugar sun table tail teacher tent tiger tooth tower
town toy train tree truck uncle village wall watch water whale window wine winter wolf
"""
HELD_OUT = NOUNS.split()[::3]
WORDS = [word for word in NOUNS.split() if word not in HELD_OUT]
QUESTION = (
    "<|im_start|>user\nWrite one sentence that uses these three words: {}, {}, {}.<|im_end|>\n<|im_start|>assistant\n"
)
EXAMPLE = QUESTION.format("boy", "ball", "park") + "The boy kicked the ball across the park.<|im_end|>\n"
LONGEST = 20  # words


def triples(count: int, seed: int = 0, words: Sequence[str] = WORDS) -> list[tuple[str, str, str]]:
    """So many different triples of words, each in alphabetical order.

    Args:
        count: How many.
        seed: Seed of the choice.
        words: What they are chosen from.

    Example:
        >>> triples(2)
        [('hammer', 'sister', 'tower'), ('bell', 'hospital', 'village')]
    """
    random_, found = random.Random(seed), dict[tuple[str, str, str], None]()
    while len(found) < count:
        one, two, three = sorted(random_.sample(words, 3))
        found[one, two, three] = None
    return list(found)


def held_out_triples(count: int = 64) -> list[tuple[str, str, str]]:
    """Triples of words that no training has seen.

    Example:
        >>> trained = {word for triple in triples(1000) for word in triple}
        >>> trained & {word for triple in held_out_triples() for word in triple}
        set()
    """
    return triples(count, seed=1, words=HELD_OUT)


def prompt_of(triple: Sequence[str]) -> str:
    """The prompt, with one example before it, in SmolLM2's chat format without its system message.

    Example:
        >>> prompt_of(("cat", "hat", "moon")).splitlines()[-2]
        'Write one sentence that uses these three words: cat, hat, moon.<|im_end|>'
    """
    return EXAMPLE + QUESTION.format(*triple)


def words_of(prompt: str) -> list[str]:
    """The words that a prompt asks for.

    Example:
        >>> words_of(prompt_of(("cat", "hat", "moon")))
        ['cat', 'hat', 'moon']
    """
    found: list[tuple[str, str, str]] = re.findall(r"three words: (\w+), (\w+), (\w+)\.", prompt)
    if not found:
        raise ValueError(f"the prompt asks for no three words: {prompt!r}\n提示词没有要求三个词：{prompt!r}")
    return list(found[-1])  # those before belong to an example


def used(prompt: str, answer: str) -> float:
    """Share of the three words that the answer has, as they are or in the plural.

    Example:
        >>> round(used(prompt_of(("cat", "hat", "moon")), "Cats wear hats."), 2)
        0.67
    """
    asked = words_of(prompt)
    return sum(bool(re.search(rf"\b{word}(s|es)?\b", answer, re.IGNORECASE)) for word in asked) / len(asked)


def one_sentence(prompt: str, answer: str) -> float:
    """1 for a text that begins with a capital and has one mark of an ending, at its end.

    Example:
        >>> [one_sentence("", text) for text in ("A cat sleeps.", "A cat. A hat.", "a cat sleeps.", "A cat sleeps", "")]
        [1.0, 0.0, 0.0, 0.0, 0.0]
    """
    return float(bool(re.fullmatch(r"[\"“]?[A-Z][^.!?\n]*[.!?][\"”]?", answer.strip())))


def short(prompt: str, answer: str) -> float:
    """1 for at most 20 words, and at least one.

    Example:
        >>> short("", "A cat sleeps."), short("", "cat " * 21), short("", "")
        (1.0, 0.0, 0.0)
    """
    return float(1 <= len(answer.split()) <= LONGEST)


PARTS = {"words": Part(0.6, used), "sentence": Part(0.2, one_sentence), "short": Part(0.2, short)}


def three_words() -> Rubric:
    """The reward: 0.6 for the words, 0.2 for one sentence, 0.2 for at most 20 words.

    Example:
        >>> round(three_words()(prompt_of(("cat", "hat", "moon")), "A cat with a hat looked at the moon."), 6)
        1.0
    """
    return Rubric(PARTS)


def succeeded(reward: float) -> bool:
    """Whether all parts were given in full.

    Example:
        >>> succeeded(0.6 + 0.2 + 0.2), succeeded(0.8)
        (True, False)
    """
    return reward > 1 - 1e-6
