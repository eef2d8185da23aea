"""Fixed English that no page trains on, to see what fine-tuning forgets.

Both are files of this package, the same on every machine, so that figures of different runs can be compared.
"""

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Question:
    """A question with four choices, one of them right.

    Attributes:
        topic: ``geography``, ``opposites``, ``arithmetic``, ``science``, ``language``, ``everyday`` or ``culture``.
        question: A sentence that ends in a question mark.
        answer: The right choice.
        choices: Four of them, in a fixed random order.
    """

    topic: str
    question: str
    answer: str
    choices: tuple[str, ...]


def english_questions() -> list[Question]:
    """198 questions of general knowledge in seven topics, written for this tutorial.

    Example:
        >>> questions = english_questions()
        >>> len(questions)
        198
        >>> questions[0].question, questions[0].answer
        ('What is the capital of France?', 'Paris')
    """
    entries = json.loads(_read("questions.json"))
    return [Question(**{**entry, "choices": tuple(entry["choices"])}) for entry in entries]


def held_out_english() -> list[str]:
    """23 passages of English prose, about a thousand characters each.

    They are paragraphs of the Python 3.11 language reference (Python Software Foundation, PSF License Version 2),
    without code and grammar.

    Example:
        >>> passages = held_out_english()
        >>> len(passages), sum(map(len, passages))
        (23, 26679)
        >>> passages[0][:49]
        'Every object has an identity, a type and a value.'
    """
    return _read("held_out_english.txt").strip().split("\n\n\n")


def _read(name: str) -> str:
    return files("llm_tutorial.data").joinpath(name).read_text(encoding="utf-8")
