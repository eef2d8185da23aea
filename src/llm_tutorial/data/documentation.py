"""Documentation as data: what an object does in one sentence and at length, and passages with questions about them.

The standard library and the language reference are those of Python 3.11.7 (Python Software Foundation, PSF License
Version 2), beside them numpy 2.4.6, scipy 1.17.1 and scikit-learn 1.9.1 (their developers, BSD-3-Clause). All of it
changes with every release and differs between platforms, so it was extracted once, by
``tools/extract_documentation.py``, and is a part of this package: nothing is fetched. What to know about it:

* the summary is the first sentence of a docstring, the body what follows it, without reStructuredText: prose has a
  line for each paragraph or item of a list, code keeps its lines and is indented, names of code stand in backquotes;
* left out are objects that are private, inherited or deprecated (also whole modules that Python 3.13 no longer has),
  those whose docstring is written by a program, and those whose body repeats the summary; a body ends after the last
  paragraph that fits into 4,000 characters;
* of numpy, scipy and scikit-learn the body is the extended summary with the notes, and the parameters stand apart;
  examples, references and methods that a subclass inherits are left out;
* the language reference says many things in several topics: a paragraph is kept once, in the smallest one. Grammar
  and footnotes are left out. 57 of the 510 passages share a paragraph with
  ``llm_tutorial.data.text.held_out_english``: do not train on them where forgetting is measured there.
"""

import gzip
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from llm_tutorial.data.splits import SPLITS, check_split, split_of

LIBRARIES = ("python", "numpy", "scipy", "sklearn")
LONGEST_PASSAGE = 1000  # characters, where there is a place to cut


class Parameter(NamedTuple):
    """One parameter, or several that are explained together.

    Attributes:
        name: Its name, or their names.
        type: Type as the docstring has it, such as ``int, optional``.
        description: What it says of the parameter.
    """

    name: str
    type: str
    description: str


class DocumentedObject(NamedTuple):
    """A public object and what its docstring says.

    Attributes:
        name: Name under which it is public, such as ``textwrap.TextWrapper.wrap``.
        module: Module by which it is held out: the public one for Python, the defining one for the other libraries.
        kind: ``module``, ``class``, ``function`` or ``method``.
        signature: How it is called, such as ``wrap(self, text)``; empty where that is unknown.
        summary: What it does, in one sentence.
        body: What follows the summary; may be empty.
        parameters: What it takes; empty for Python, whose docstrings have no such section.
    """

    name: str
    module: str
    kind: str
    signature: str
    summary: str
    body: str
    parameters: tuple[Parameter, ...]


class Passage(NamedTuple):
    """A text of readable size.

    Attributes:
        id: Name that no other passage has, such as ``for-0`` or ``textwrap.wrap-0``.
        topic: Topic of the language reference, such as ``for``; or the module of an object.
        heading: Headings above it, such as ``Coroutines > The async for statement``; or the object's name.
        text: Prose and code, as in ``DocumentedObject.body``.
    """

    id: str
    topic: str
    heading: str
    text: str


class DocumentationQuestion(NamedTuple):
    """A question that a programmer asks, written for this tutorial.

    Attributes:
        question: A sentence that ends in a question mark.
        answer: Words that stand in each of the passages; empty where nothing in the data answers the question.
        passages: Ids of those that answer it, or in which one would look in vain.
    """

    question: str
    answer: str
    passages: tuple[str, ...]


def documented_objects(split: str = "train", library: str = "python", words: int = 25) -> list[DocumentedObject]:
    """Objects of a library with a summary and a body.

    Args:
        split: ``train``, ``validation`` or ``test``; a module with all it defines belongs to one of them by its hash,
            and what nearly repeats an object of another split was left out.
        library: One of ``LIBRARIES``.
        words: Least number of words in the body; with 0, objects that have only a summary come as well.

    Raises:
        ValueError: An unknown split or library.

    Example:
        >>> {split: len(documented_objects(split)) for split in ("train", "validation", "test")}
        {'train': 969, 'validation': 235, 'test': 205}
        >>> found = documented_objects("test")[2]
        >>> found.name, found.kind, found.summary
        ('ast.dump', 'function', 'Return a formatted dump of the tree in node.')
        >>> found.body[:49]
        'This is mainly useful for debugging purposes. If '
        >>> {library: len(documented_objects("train", library)) for library in ("numpy", "scipy", "sklearn")}
        {'numpy': 270, 'scipy': 621, 'sklearn': 405}
    """
    check_split(split)
    return [found for found in _split_objects(library)[split] if len(found.body.split()) >= words]


def reference_passages() -> list[Passage]:
    """The language reference of Python, in 78 topics.

    Example:
        >>> passages = reference_passages()
        >>> len(passages)
        510
        >>> passages[0].id, passages[0].heading, passages[0].text[:39]
        ('assert-0', 'The `assert` statement', 'Assert statements are a convenient way ')
    """
    return list(_reference())


def object_passages(library: str = "python", words: int = 25) -> list[Passage]:
    """What ``documented_objects`` says of all splits, as passages: the summary and the body, cut where it is long.

    Args:
        library: One of ``LIBRARIES``.
        words: Least number of words in the body.

    Raises:
        ValueError: An unknown library.

    Example:
        >>> [passage.id for passage in object_passages() if passage.topic == "textwrap"][:3]
        ['textwrap.TextWrapper-0', 'textwrap.TextWrapper-1', 'textwrap.dedent-0']
    """
    objects = [found for found in _objects(library) if len(found.body.split()) >= words]
    return [
        Passage(f"{found.name}-{place}", found.module, found.name, text)
        for found in objects
        for place, text in enumerate(joined([found.summary, *filter(None, found.body.split("\n\n"))], "\n\n"))
    ]


def documentation_questions(split: str = "test") -> list[DocumentationQuestion]:
    """Questions about the reference and the standard library, some of which nothing in the data answers.

    Args:
        split: ``train``, ``validation`` or ``test``; a question belongs to that of the topic or module of its
            passages, by the same hash that splits the objects.

    Raises:
        ValueError: An unknown split.

    Example:
        >>> {split: len(documentation_questions(split)) for split in ("train", "validation", "test")}
        {'train': 60, 'validation': 31, 'test': 77}
        >>> question = documentation_questions("test")[5]
        >>> question.question, question.answer
        ('What error is raised when I use a variable that was never assigned?', 'NameError')
        >>> question.passages
        ('atom-identifiers-0',)
    """
    check_split(split)
    return [question for question in _questions() if _split_of_question(question) == split]


def joined(parts: Iterable[str], glue: str) -> list[str]:
    """Neighbouring parts joined, as long as they have at most ``LONGEST_PASSAGE`` characters together.

    Example:
        >>> joined(["a" * 600, "b" * 300, "c" * 600], " ")[0] == "a" * 600 + " " + "b" * 300
        True
    """
    texts = list[str]()
    for part in parts:
        if texts and len(texts[-1]) + len(glue) + len(part) <= LONGEST_PASSAGE:
            texts[-1] += glue + part
        else:
            texts.append(part)
    return texts


@cache
def _objects(library: str) -> tuple[DocumentedObject, ...]:
    if library not in LIBRARIES:
        raise ValueError(f"unknown library {library!r}; there are {', '.join(LIBRARIES)}")
    return tuple(
        DocumentedObject(**{**line, "parameters": tuple(Parameter(*parameter) for parameter in line["parameters"])})
        for line in _lines(f"documentation-{library}.jsonl.gz")
    )


@cache
def _split_objects(library: str) -> dict[str, list[DocumentedObject]]:
    found: dict[str, list[DocumentedObject]] = {split: [] for split in SPLITS}
    for documented in _objects(library):
        found[split_of(documented.module)].append(documented)
    texts = [
        {text.lower() for documented in found[split] for text in (documented.summary, documented.body) if text}
        for split in SPLITS
    ]
    assert len(set().union(*texts)) == sum(map(len, texts)), "a text stands in two splits"
    return found


@cache
def _reference() -> tuple[Passage, ...]:
    passages, places = list[Passage](), dict[str, int]()
    for line in _lines("documentation-reference.jsonl.gz"):
        place = places[line["topic"]] = places.get(line["topic"], -1) + 1
        passages.append(Passage(f"{line['topic']}-{place}", **line))
    return tuple(passages)


@cache
def _questions() -> tuple[DocumentationQuestion, ...]:
    entries = json.loads(files("llm_tutorial.data").joinpath("documentation_questions.json").read_text("utf-8"))
    return tuple(DocumentationQuestion(**{**entry, "passages": tuple(entry["passages"])}) for entry in entries)


@cache
def _topics() -> dict[str, str]:
    """Topic of each passage, by its id."""
    return {passage.id: passage.topic for passage in [*reference_passages(), *object_passages()]}


def _split_of_question(question: DocumentationQuestion) -> str:
    return split_of(_topics()[question.passages[0]])


def _lines(name: str) -> list[dict[str, Any]]:
    packed = files("llm_tutorial.data").joinpath(name).read_bytes()
    return [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
