"""Judges of answers that should rest on passages: is the answer there, and does anything else stand behind it?"""

import re
from collections.abc import Iterable

from llm_tutorial.transformer.question_answering import words_of

_CODE = re.compile(r"`([^`]+)`|\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[a-z]+_\w+|[A-Za-z_]\w*(?=\())")
_REFUSAL = re.compile(
    r"not (?:\w+ )?(?:in|by|from|provided|available|mentioned|specified|given|found)\b.{0,40}"
    r"(?:documentation|passages?|text)|(?:documentation|passages?|text) (?:do|does) not|"
    r"answer .{0,40}(?:not|un)\s?(?:provided|available|known|found)|(?:do not|don't) know|"
    r"not (?:provided|available|specified|mentioned)\s*(?:[.\[]|$)",
    re.IGNORECASE,
)
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for from with as is are was were be been it its this that these those and or not no "
        "if then than so can may will would do does did has have had you your i we they he she which what who when where "
        "how there here one use used using answer question documentation passage",
    )
)


def contains(text: str, answer: str) -> bool:
    """Whether the words of an answer stand in a text, next to each other and in their order.

    An answer of signs and articles, such as ``'a'``, has to stand there as it is, backquotes apart.

    Example:
        >>> contains("It is **None** by default", "`None`"), contains("The result is 120.", "12")
        (True, False)
        >>> contains("Opens in mode 'a'.", "'a'"), contains("a mode", "'a'")
        (True, False)
    """
    if _wordless(answer):
        return answer.strip("` ") in text
    words, wanted = words_of(text), words_of(answer)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def word_recall(text: str, answer: str) -> float:
    """Share of an answer's different words that a text has.

    Example:
        >>> word_recall("It returns None", "None or zero")
        0.3333333333333333
    """
    if _wordless(answer):
        return float(contains(text, answer))
    wanted = set(words_of(answer))
    return len(wanted & set(words_of(text))) / len(wanted)


def _wordless(answer: str) -> bool:
    return not set(re.findall(r"\w+", answer.lower())) - {"a", "an", "the"}


def refuses(reply: str) -> bool:
    """Whether a reply says that the answer is not there, in the words that were asked for or in its own.

    Example:
        >>> refuses("The documentation does not say."), refuses("It does not return.")
        (True, False)
    """
    return _REFUSAL.search(reply) is not None


def unsupported(reply: str, texts: Iterable[str]) -> float:
    """Share of a reply's different words that stand in none of the texts; small words do not count.

    Args:
        reply: Of the model.
        texts: The passages, and the question.

    Example:
        >>> unsupported("It returns a banana.", ["What does it return?", "f returns None."])
        0.5
    """
    words = {word for word in words_of(reply) if word not in _SMALL}
    known = {word for text in texts for word in words_of(text)}
    return len(words - known) / max(len(words), 1)


def invented(reply: str, known: frozenset[str]) -> list[str]:
    """Names of code in a reply that are not known.

    Args:
        reply: Of the model.
        known: As `names_of` gives them, of all documentation and of the question.

    Example:
        >>> invented("Use `textwrap.fill()` or text_magic(3).", names_of(["textwrap.fill(text)"]))
        ['text_magic']
    """
    code = [one or other for one, other in _CODE.findall(reply)]
    names = dict.fromkeys(word for text in code for word in re.findall(r"[A-Za-z_]\w*", text))
    return [name for name in names if name not in known]


def names_of(texts: Iterable[str]) -> frozenset[str]:
    """Every word of texts that may be a name of code, or a part of a dotted one.

    >>> sorted(names_of(["os.path"]))
    ['os', 'path']
    """
    return frozenset(word for text in texts for word in re.findall(r"[A-Za-z_]\w*", text))


def cited(reply: str) -> list[int]:
    """Numbers of passages that a reply names.

    >>> cited("It is None. [2]")
    [2]
    """
    return [int(number) for number in re.findall(r"\[(\d+)\]", reply)]
