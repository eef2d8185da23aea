"""Works that pages cite: one bibliography for both languages, ``docs/references.bib``.

``year`` is the year in which a work first appeared, which is what a citation says; where it was
published later, ``booktitle`` or ``journal`` says where and when ("ICLR 2022").
"""

import html
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pybtex.database import Entry, parse_string
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

from tutorial_site import SiteError, nearest
from tutorial_site.page import constructs
from tutorial_site.repository import pages

BIBLIOGRAPHY = "docs/references.bib"
MOST_AUTHORS = 8
AND = {"zh": " 与 ", "en": " and "}
OTHERS = {"zh": " 等", "en": " et al."}
COMMA = {"zh": "，", "en": ", "}
STOP = {"zh": "。", "en": ". "}


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
        many = len(family) > 2 or family[-1] == "others"
        names = family[0] + OTHERS[language] if many else AND[language].join(family)
        return f"{names}{COMMA[language]}{self.year}{self.letter}"

    def names(self, language: str) -> str:
        """All authors; of a long list the first three."""
        named = [f"{given} {family}".strip() for given, family in self.authors if family != "others"]
        if len(named) < len(self.authors) or len(named) > MOST_AUTHORS:
            return ", ".join(named[:3]) + OTHERS[language]
        return AND[language].join(filter(None, [", ".join(named[:-1]), named[-1]]))

    @property
    def link(self) -> str:
        """Where the work can be read, or an empty string."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    def html(self, language: str) -> str:
        """The work in a list, as HTML that Markdown takes as well: authors, year, title, venue, link."""
        where = f'<a href="{self.link}">{f"arXiv:{self.arxiv}" if self.arxiv else self.url}</a>' if self.link else ""
        title = f'<cite lang="en">{html.escape(self.title)}</cite>'
        names = f"{self.names(language)}{COMMA[language]}{self.year}{self.letter}"
        parts = [part + STOP[language] for part in (names, title, html.escape(self.venue)) if part]
        return "".join([*parts, where]).strip()


def read_bibliography(root: Path) -> dict[str, Work]:
    """Every work of ``docs/references.bib``, by key."""
    path = root / BIBLIOGRAPHY
    if not path.exists():
        raise SiteError(f"{BIBLIOGRAPHY}: no such file")
    return _parse(path.read_text(encoding="utf-8"))


@cache
def _parse(text: str) -> dict[str, Work]:
    try:
        works = [_work(key, entry) for key, entry in parse_string(text, "bibtex").entries.items()]
    except PybtexError as error:
        raise SiteError(f"{BIBLIOGRAPHY}: {error}") from None
    seen = Counter(work.author_year("en") for work in works)
    letters = {label: iter("abcdefghij") for label, times in seen.items() if times > 1}
    return {work.key: replace(work, letter=next(letters.get(work.author_year("en"), iter([""])))) for work in works}


def _work(key: str, entry: Entry) -> Work:
    field = {name.lower(): _plain(value) for name, value in entry.fields.items()}
    authors = tuple(
        (
            _plain(" ".join(person.first_names + person.middle_names)),
            _plain(" ".join(person.prelast_names + person.last_names + person.lineage_names)),
        )
        for person in entry.persons.get("author", [])
    )
    for name, value in (("author", authors), ("title", field.get("title")), ("year", field.get("year"))):
        if not value:
            raise SiteError(f"{BIBLIOGRAPHY}: {key} has no {name}")
    venue = field.get("booktitle") or field.get("journal") or field.get("howpublished", "")
    return Work(key, authors, field["title"], field["year"], venue, field.get("eprint", ""), field.get("url", ""))


def _plain(value: str) -> str:
    """A field without TeX: its accents as letters, no braces."""
    return " ".join(str(Text.from_latex(value)).split())


def find(root: Path, key: str) -> Work:
    """The work of a key; an unknown one raises ``SiteError``."""
    works = read_bibliography(root)
    if key not in works:
        raise SiteError(f"{BIBLIOGRAPHY} has no {key!r}{nearest(key, works)}")
    return works[key]


def keys(body: str) -> list[str]:
    """Keys of a citation.

    >>> keys("hu2021lora; @dettmers2023qlora")
    ['hu2021lora', 'dettmers2023qlora']
    """
    return [key.strip().lstrip("@") for key in body.split(";")]


def label(root: Path, body: str, language: str, form: Callable[[Work, str], str] = lambda work, label: label) -> str:
    """A citation: "(Hu et al., 2021)", in Chinese "（Hu 等，2021）"; ``form`` may turn each label into a link."""
    works = [find(root, key) for key in keys(body)]
    labels = [form(work, work.author_year(language)) for work in works]
    return f"（{'；'.join(labels)}）" if language == "zh" else f"({'; '.join(labels)})"


def cited(root: Path, markdown: str) -> list[Work]:
    """The works that a page cites, captions included, by author and year."""
    found: set[str] = set()
    for construct in constructs(markdown):
        inside = constructs(construct.body) if construct.kind == "cell" else [construct]
        found.update(key for item in inside if item.kind == "citation" for key in keys(item.body))
    works = [find(root, key) for key in found]
    return sorted(works, key=lambda work: (work.authors[0][1].lower(), work.year, work.letter))


def cited_in(root: Path, language: str) -> list[Work]:
    """The works that any page of a language cites."""
    return cited(root, "\n\n".join(page.read_text(encoding="utf-8") for page in pages(root, language)))
