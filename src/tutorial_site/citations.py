"""Works that pages cite: one bibliography for both languages, ``docs/references.bib``.

``year`` is the year in which a work first appeared, which is what a citation says; where it was
published later, ``booktitle`` or ``journal`` says where and when ("ICLR 2022").
"""

import codecs
import html
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import latexcodec  # noqa: F401, registers the codec "ulatex"
from pybtex.database import Entry, parse_string
from pybtex.exceptions import PybtexError

from tutorial_site import SiteError, nearest
from tutorial_site.page import Construct, constructs

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
        return AND[language].join([", ".join(named[:-1]), named[-1]][len(named) == 1 :])

    @property
    def link(self) -> str:
        """Where the work can be read, or an empty string."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    def entry(self, language: str, title: str, link: str) -> str:
        """The work in a list: authors, year, title, venue, link; ``title`` and ``link`` are their forms."""
        where = link.format(url=self.link, text=f"arXiv:{self.arxiv}" if self.arxiv else self.url) if self.link else ""
        names = f"{self.names(language)}{COMMA[language]}{self.year}{self.letter}"
        return "".join(part + STOP[language] for part in (names, title.format(self.title), self.venue) if part) + where

    def markdown(self, language: str) -> str:
        """The work in a list, as Markdown."""
        return self.entry(language, "*{}*", "[{text}]({url})").strip()

    def html(self, language: str) -> str:
        """The work in a list, as HTML."""
        safe = replace(self, title=html.escape(self.title), venue=html.escape(self.venue))
        return safe.entry(language, '<cite lang="en">{}</cite>', '<a href="{url}">{text}</a>').strip()


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
    text, _ = codecs.lookup("ulatex").decode(re.sub(r"\s+", " ", value))  # type: ignore[arg-type]
    return re.sub(r"[{}]", "", text)


def keys(body: str) -> list[str]:
    """Keys of a citation.

    >>> keys("hu2021lora; @dettmers2023qlora")
    ['hu2021lora', 'dettmers2023qlora']
    """
    return [key.strip().lstrip("@") for key in body.split(";")]


def find(root: Path, key: str) -> Work:
    """The work of a key; an unknown one raises ``SiteError``."""
    works = read_bibliography(root)
    if key not in works:
        raise SiteError(f"{BIBLIOGRAPHY} has no {key!r}{nearest(key, works)}")
    return works[key]


def label(root: Path, body: str, language: str) -> str:
    """A citation as plain text: "(Hu et al., 2021)", in Chinese "（Hu 等，2021）"."""
    return enclose([find(root, key).author_year(language) for key in keys(body)], language)


def enclose(labels: Iterable[str], language: str) -> str:
    """Joins labels in the parentheses of the language."""
    return f"（{'；'.join(labels)}）" if language == "zh" else f"({'; '.join(labels)})"


def cited(root: Path, markdown: str) -> list[Work]:
    """The works that a page cites, by author and year."""
    found = {key for construct in constructs(markdown) for key in _cited(construct)}
    return sorted(
        (find(root, key) for key in found), key=lambda work: (work.authors[0][1].lower(), work.year, work.letter)
    )


def _cited(construct: Construct) -> list[str]:
    if construct.kind == "cell":  # its caption may cite
        return [key for inner in constructs(construct.body) for key in _cited(inner)]
    return keys(construct.body) if construct.kind == "citation" else []


def cited_in(root: Path, language: str) -> list[Work]:
    """The works that any page of a language cites."""
    pages = sorted((root / "docs" / language).rglob("*.md"))
    return cited(root, "\n\n".join(page.read_text(encoding="utf-8") for page in pages))
