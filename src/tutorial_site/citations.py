"""Works that pages cite: one bibliography for both languages, ``docs/references.bib``.

``year`` is the year in which a work first appeared, which is what a citation says; where a preprint
was published later, ``journal`` or ``booktitle`` says where and when ("ICLR 2022").
"""

import html
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pybtex.database import Entry, Person, parse_string
from pybtex.exceptions import PybtexError

from tutorial_site import SiteError, nearest
from tutorial_site.page import constructs

BIBLIOGRAPHY = "docs/references.bib"
MOST_AUTHORS = 8
AND = {"zh": " 与 ", "en": " and "}
OTHERS = {"zh": " 等", "en": " et al."}
COMMA = {"zh": "，", "en": ", "}


@dataclass(frozen=True)
class Work:
    """One entry of the bibliography."""

    key: str
    authors: tuple[tuple[str, str], ...]  # (given, family)
    title: str
    year: str
    venue: str
    arxiv: str
    url: str
    letter: str = ""  # tells apart two works that would read "Wang et al., 2020"

    def author_year(self, language: str) -> str:
        """What a citation says: "Hu et al., 2021", in Chinese "Hu 等，2021"."""
        family = [family for _, family in self.authors]
        names = family[0] + (OTHERS[language] if len(family) > 2 or family[-1] == "others" else "")
        if len(family) == 2 and family[-1] != "others":
            names = AND[language].join(family)
        return f"{names}{COMMA[language]}{self.year}{self.letter}"

    def names(self, language: str) -> str:
        """All authors; of a long list the first three."""
        named = [f"{given} {family}".strip() for given, family in self.authors if family != "others"]
        if len(named) < len(self.authors) or len(named) > MOST_AUTHORS:
            return ", ".join(named[:3]) + OTHERS[language]
        return ", ".join(named[:-1]) + AND[language] * (len(named) > 1) + named[-1]

    def markdown(self, language: str) -> str:
        """The work as a line of a source list, in Markdown: author, year, title, venue, arXiv."""
        stop = {"zh": "。", "en": ". "}[language]
        parts = [f"{self.names(language)}{COMMA[language]}{self.year}{self.letter}", f"*{self.title}*", self.venue]
        return (stop.join(part for part in parts if part) + stop + self._link("[{text}]({url})")).strip()

    def html(self, language: str) -> str:
        """The same as :meth:`markdown`, as HTML."""
        stop = {"zh": "。", "en": ". "}[language]
        head = html.escape(f"{self.names(language)}{COMMA[language]}{self.year}{self.letter}")
        parts = [head, f'<cite lang="en">{html.escape(self.title)}</cite>', html.escape(self.venue)]
        return (stop.join(part for part in parts if part) + stop + self._link('<a href="{url}">{text}</a>')).strip()

    @property
    def link(self) -> str:
        """Where the work can be read, or an empty string."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    def _link(self, form: str) -> str:
        text = f"arXiv:{self.arxiv}" if self.arxiv else self.url
        return form.format(url=self.link, text=text) if text else ""


def read_bibliography(root: Path) -> dict[str, Work]:
    """Every work of ``docs/references.bib``, by key."""
    path = root / BIBLIOGRAPHY
    if not path.exists():
        raise SiteError(f"{BIBLIOGRAPHY}: no such file")
    return _parse(path.read_text(encoding="utf-8"))


@cache
def _parse(text: str) -> dict[str, Work]:
    try:
        entries = parse_string(text, "bibtex").entries
        works = [_work(key, entry) for key, entry in entries.items()]
    except PybtexError as error:
        raise SiteError(f"{BIBLIOGRAPHY}: {error}") from None
    seen = Counter(work.author_year("en") for work in works)
    letters = {label: iter("abcdefghij") for label, times in seen.items() if times > 1}
    return {work.key: replace(work, letter=next(letters.get(work.author_year("en"), iter([""])))) for work in works}


def _work(key: str, entry: Entry) -> Work:
    field = {
        name.lower(): re.sub(r"\s+", " ", value.replace("{", "").replace("}", ""))
        for name, value in entry.fields.items()
    }
    authors = tuple(map(_name, entry.persons.get("author", [])))
    missing = [
        name
        for name, value in {"author": authors, "title": field.get("title"), "year": field.get("year")}.items()
        if not value
    ]
    if missing:
        raise SiteError(f"{BIBLIOGRAPHY}: {key} has no {', '.join(missing)}")
    venue = field.get("booktitle") or field.get("journal") or field.get("howpublished", "")
    return Work(key, authors, field["title"], field["year"], venue, field.get("eprint", ""), field.get("url", ""))


def _name(person: Person) -> tuple[str, str]:
    given = person.first_names + person.middle_names
    family = person.prelast_names + person.last_names + person.lineage_names
    return tuple(" ".join(names).replace("{", "").replace("}", "") for names in (given, family))  # type: ignore[return-value]


def keys(body: str) -> list[str]:
    """Keys of a citation.

    >>> keys("hu2021lora; @dettmers2023qlora")
    ['hu2021lora', 'dettmers2023qlora']
    """
    return [key.strip().lstrip("@") for key in body.split(";")]


def find(root: Path, key: str) -> Work:
    """The work of a key."""
    works = read_bibliography(root)
    if key not in works:
        raise SiteError(f"{BIBLIOGRAPHY} has no {key!r}{nearest(key, works)}")
    return works[key]


def label(root: Path, body: str, language: str) -> str:
    """A citation as plain text.

    Returns:
        "(Hu et al., 2021)", in Chinese "（Hu 等，2021）".
    """
    return enclose([find(root, key).author_year(language) for key in keys(body)], language)


def enclose(labels: Iterable[str], language: str) -> str:
    """Joins labels in the parentheses of the language."""
    return f"（{'；'.join(labels)}）" if language == "zh" else f"({'; '.join(labels)})"


def cited(root: Path, markdown: str) -> list[Work]:
    """The works that a page cites, by author and year."""
    found = {key for construct in constructs(markdown) for key in _cited(construct.kind, construct.body)}
    return sorted(
        (find(root, key) for key in found), key=lambda work: (work.authors[0][1].lower(), work.year, work.letter)
    )


def _cited(kind: str, body: str) -> Iterable[str]:
    if kind == "citation":
        return keys(body)
    if kind == "cell":  # a caption may cite
        return [key for inner in constructs(body) if inner.kind == "citation" for key in keys(inner.body)]
    return []


def cited_in(root: Path, language: str) -> list[Work]:
    """The works that any page of a language cites."""
    pages = sorted((root / "docs" / language).rglob("*.md"))
    return cited(root, "\n\n".join(page.read_text(encoding="utf-8") for page in pages))
