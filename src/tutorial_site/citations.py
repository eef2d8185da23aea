"""Works that pages cite: one bibliography for both languages, ``docs/references.bib``.

``year`` is the year in which a work first appeared, which is what a citation says; where it was
published later, ``booktitle`` or ``journal`` says where and when ("ICLR 2022"). ``why_zh`` and
``why_en`` say in a sentence why the work matters; lists of works show it.
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
from tutorial_site.repository import LANGUAGES, read

BIBLIOGRAPHY = "docs/references.bib"
MOST_AUTHORS = 8
WORDS = {
    "zh": {"and": " 与 ", "others": " 等", "comma": "，", "stop": "。"},
    "en": {"and": " and ", "others": " et al.", "comma": ", ", "stop": ". "},
}


@dataclass(frozen=True)
class Work:
    """One entry of the bibliography."""

    key: str
    authors: tuple[tuple[str, str], ...]  # (given, family)
    title: str
    year: str
    venue: str
    link: str  # where it can be read; may be empty
    why: tuple[tuple[str, str], ...]  # (language, a sentence)
    letter: str = ""  # tells apart two works that would read "Wang et al., 2020"

    def author_year(self, language: str) -> str:
        """What a citation says: "Hu et al., 2021", in Chinese "Hu 等，2021"."""
        return self._dated([family for _, family in self.authors], language, most=2, named=1)

    def _dated(self, names: list[str], language: str, most: int, named: int) -> str:
        """Authors and year; of more than ``most`` authors, the first ones ``named``."""
        words = WORDS[language]
        if len(names) > most or names[-1] == "others":
            authors = ", ".join([name for name in names if name != "others"][:named]) + words["others"]
        else:
            authors = words["and"].join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{authors}{words['comma']}{self.year}{self.letter}"

    def html(self, language: str) -> str:
        """The work in a list, as HTML that Markdown takes as well: authors, year, title, venue, link, why it matters."""
        where = (
            f'<a href="{self.link}">{self.link.replace("https://arxiv.org/abs/", "arXiv:")}</a>' if self.link else ""
        )
        title = f'<cite lang="en">{html.escape(self.title)}</cite>'
        names = [f"{given} {family}".strip() for given, family in self.authors]
        dated = self._dated(names, language, MOST_AUTHORS, named=3)
        parts = [part + WORDS[language]["stop"] for part in (dated, title, html.escape(self.venue)) if part]
        why = f'<br><span class="why">{html.escape(dict(self.why)[language], quote=False)}</span>'
        return "".join([*parts, where]).strip() + why


def read_bibliography(root: Path) -> dict[str, Work]:
    """Every work of ``docs/references.bib``, by key."""
    path = root / BIBLIOGRAPHY
    if not path.exists():
        raise SiteError(f"{BIBLIOGRAPHY}: no such file")
    return _parse(read(path))


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
    people = entry.persons.get("author", [])
    demanded = dict.fromkeys(("title", "year", *(f"why_{language}" for language in LANGUAGES)), "")
    for name, value in {"author": people, **demanded, **field}.items():
        if not value:
            raise SiteError(f"{BIBLIOGRAPHY}: {key} has no {name}")
    given = [_plain(" ".join(person.first_names + person.middle_names)) for person in people]
    family = [_plain(" ".join(person.prelast_names + person.last_names + person.lineage_names)) for person in people]
    venue = field.get("booktitle") or field.get("journal") or field.get("howpublished", "")
    link = f"https://arxiv.org/abs/{field['eprint']}" if "eprint" in field else field.get("url", "")
    why = tuple((language, field[f"why_{language}"]) for language in LANGUAGES)
    return Work(key, tuple(zip(given, family, strict=True)), field["title"], field["year"], venue, link, why)


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
