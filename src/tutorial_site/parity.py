"""Do the two languages say the same? Compares what does not depend on the language.

Blocks (headings with their ids, cells, exercises, figures, fenced code, tables, displayed formulas)
come in the same order; between two blocks stand the same values, citations and formulas, in whatever
order the sentence wants; each stretch has the same numerals (万 and 亿 understood).
"""

import calendar
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tutorial_site import SiteError
from tutorial_site.page import constructs

LANGUAGES = ("zh", "en")
HEADING = re.compile(
    r"^(?P<level>#{1,6})[ ]+(?P<title>.*?)[ ]*(?:\{[^}\n]*#(?P<id>[\w.-]+)[^}\n]*\})?[ ]*$", re.MULTILINE
)
FIGURE = re.compile(r"!\[[^\]]*\]\((?P<file>[^)\s]+)[^)]*\)|<img[^>]*src=\"(?P<src>[^\"]+)\"|<svg\b")
TABLE = re.compile(r"(?:^[ ]*\|.*\n?)+", re.MULTILINE)
WORDS = re.compile(r'\s*\b(?:alt|caption)="[^"]*"')
TEXT = re.compile(r"\\(?:text|mbox|textrm)\s*\{[^{}]*\}")
PUNCTUATION = str.maketrans("，。；：（）", ",.;:()")
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
IGNORED = re.compile(r"\]\([^)]*\)|\{\s*[:#][^}\n]*\}|<[^>\n]*>|https?://[^\s)）]+|^\[[^\]]+\]:.*$", re.MULTILINE)

INLINE = ("value", "citation", "formula")
NUMERAL = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
UNIT = {  # 千克 is a unit, not thousands of something
    "zh": re.compile(r"\s?([十百千万亿]+)(?![克米瓦字赫])|([KMB])(?![A-Za-z])"),
    "en": re.compile(r"\s?(thousand|million|billion|trillion)|([KMB])(?![A-Za-z])"),
}
FACTORS = {"十": 1e1, "百": 1e2, "千": 1e3, "万": 1e4, "亿": 1e8, "K": 1e3, "M": 1e6, "B": 1e9} | {
    "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12
}  # fmt: skip

NUMBER_WORDS = {
    "zh": ["零", "一", "二两双", "三", "四", "五", "六", "七", "八", "九", "十"],
    "en": ["zero", "one|once", "two|both|twice", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
}


@dataclass
class Block:
    """A block that both languages have, and what stands between it and the next one."""

    kind: str
    what: str
    line: int
    inside: Counter[str] = field(default_factory=Counter)
    lines: dict[str, int] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.what}".rstrip()


def blocks(markdown: str) -> list[Block]:
    """The blocks of a page, in order: its start, and then all that both languages must have alike."""
    found, at = [Block("page", "start", 1)], 0
    for start, end, kind, what in [*sorted(_pieces(markdown)), (len(markdown), len(markdown), "page", "end")]:
        if start < at:  # inside what was already taken
            continue
        line = markdown.count("\n", 0, start) + 1
        found[-1].text += markdown[at:start]
        if kind in INLINE:
            found[-1].inside[f"{kind} {what}"] += 1
            found[-1].lines[f"{kind} {what}"] = line
        elif kind:
            found.append(Block(kind, what, line))
        at = end
    return found


def _pieces(markdown: str) -> Iterator[tuple[int, int, str, str]]:
    """Start, end, kind and content of what a page consists of; nothing in code is a heading or a table."""
    rest = markdown
    for item in constructs(markdown):
        source = markdown[item.start : item.end]
        yield item.start, item.end, *_construct(item.kind, item.body, source)
        rest = rest[: item.start] + re.sub(r"[^\n]", " ", source) + rest[item.end :]
    for match in HEADING.finditer(rest):
        what = f"{match['level']} #{match['id']}" if match["id"] else f"{match['level']} without an id"
        yield match.start(), match.end("level"), "heading", what
    for match in TABLE.finditer(rest):
        rows = match[0].strip().split("\n")
        yield match.start(), match.start() + 1, "table", f"of {len(rows)} rows and {rows[0].count('|') - 1} columns"
    for match in FIGURE.finditer(rest):
        yield match.start(), match.end(), "figure", match["file"] or match["src"] or "(svg)"


def _construct(kind: str, body: str, source: str) -> tuple[str, str]:
    if kind == "cell":
        return kind, " ".join(sorted(WORDS.sub("", body).split(), key=lambda word: "#" not in word))
    if kind == "citation":
        return kind, "; ".join(sorted(re.split(r"\s*;\s*", body)))
    if kind in ("display", "inline"):
        formula = re.sub(r"[\s,.，。；;、]+$|\s+", " ", TEXT.sub(r"\\text{}", body).translate(PUNCTUATION)).strip()
        return ("displayed formula" if kind == "display" else "formula"), formula
    if kind == "fence":
        head, _, code = source.partition("\n")
        return "code", f"{head.split('title=')[0].strip()}\n{COMMENT.sub('', code)}".strip()
    if kind == "value":  # 1.35 亿 is 135 M: where a format scales the value, each language has its own
        body = re.sub(r":[^:]*[万亿kMB]$", "", body)
    return (kind, " ".join(body.split())) if kind in ("exercise", "value", "list") else ("", "")


def numerals(text: str, language: str) -> Counter[float]:
    """Arabic numerals of a stretch of prose, as numbers.

    >>> numerals("1.35 亿个参数", "zh") == numerals("135 million parameters", "en")
    True
    """
    text = IGNORED.sub("]", text)
    found = Counter[float]()
    for match in NUMERAL.finditer(text):
        unit = UNIT[language].match(text, match.end())
        words = re.findall("|".join(FACTORS), unit[0]) if unit else []
        found[float(f"{float(match[0].replace(',', '')) * math.prod(FACTORS[word] for word in words):.9g}")] += 1
    if language == "en":  # "3 June" is "6 月 3 日"
        for month, name in enumerate(calendar.month_name[1:], 1):
            found[month] += len(re.findall(rf"\b{name}\b(?=,? \d)|(?<=\d ){name}\b", text))
    return +found


def _in_words(number: float, text: str, language: str) -> bool:
    words = NUMBER_WORDS[language][int(number)] if number in range(11) else ""
    pattern = f"[{words}]" if language == "zh" else rf"\b(?:{words})\b"
    return bool(words and re.search(pattern, text, re.IGNORECASE))


@dataclass
class Page:
    """A page in one language."""

    name: str
    language: str
    blocks: list[Block]


def problems(root: Path) -> Iterator[str]:
    """The first difference of each pair of pages, and of the two navigations."""
    zh, en = (
        {path.relative_to(root / "docs" / language) for path in root.glob(f"docs/{language}/**/*.md")}
        for language in LANGUAGES
    )
    for page in sorted(zh ^ en):
        here, there = LANGUAGES if page in zh else LANGUAGES[::-1]
        yield f"docs/{here}/{page}:1: has no docs/{there}/{page}"
    for page in sorted(zh & en):
        yield from itertools.islice(_differences(*(_read(root, language, page) for language in LANGUAGES)), 1)
    yield from itertools.islice(_navigation(root / "mkdocs.yml", root / "mkdocs.en.yml"), 1)


def _read(root: Path, language: str, page: Path) -> Page:
    name = f"docs/{language}/{page.as_posix()}"
    return Page(name, language, blocks((root / name).read_text(encoding="utf-8")))


def _differences(zh: Page, en: Page) -> Iterator[str]:
    for one, other in zip(zh.blocks, en.blocks, strict=False):
        if (one.kind, one.what) != (other.kind, other.what):
            yield f"{zh.name}:{one.line}: {one} | {en.name}:{other.line}: {other}"
            return  # from here on everything is shifted
        for here, there, mine, theirs in ((zh, en, one, other), (en, zh, other, one)):
            for what in mine.inside - theirs.inside:
                yield f"{here.name}:{mine.lines[what]}: {what} | {there.name}:{theirs.line}: not after {theirs}"
    headings = [index for index, block in enumerate(zh.blocks) if block.kind in ("page", "heading")]
    for start, end in itertools.pairwise([*headings, len(zh.blocks)]):
        for here, there in ((zh, en), (en, zh)):
            text, other_text = ("\n".join(block.text for block in page.blocks[start:end]) for page in (here, there))
            for number in numerals(text, here.language) - numerals(other_text, there.language):
                if not _in_words(number, other_text, there.language):
                    place = f"{here.name}:{here.blocks[start].line}: number {number:.12g} after {here.blocks[start]}"
                    yield f"{place} | {there.name}:{there.blocks[start].line}: not there"


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose ``!!python/name:`` and ``!ENV`` mean nothing here."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def navigation(config: Path) -> list[str]:
    """The files of a configuration's ``nav``, in order, each with its depth.

    Raises:
        SiteError: there is no navigation.
    """
    content = yaml.load(config.read_text(encoding="utf-8"), _Loader)
    if not content or not content.get("nav"):
        raise SiteError(f"{config}: no nav")
    return list(_leaves(content["nav"], 0))


def _leaves(nav: Any, depth: int) -> Iterator[str]:
    if isinstance(nav, str):
        yield f"{'  ' * depth}{nav}"
    elif isinstance(nav, dict):
        for value in nav.values():
            yield from _leaves(value, depth)
    elif nav:
        for item in nav:
            yield from _leaves(item, depth + 1)


def _navigation(zh: Path, en: Path) -> Iterator[str]:
    for one, other in itertools.zip_longest(navigation(zh), navigation(en), fillvalue="nothing more"):
        if one != other:
            yield f"{zh}: nav has {one.strip()} where {en.name} has {other.strip()}"
