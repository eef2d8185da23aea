"""Do the two languages say the same? Compares what does not depend on the language.

Blocks (headings with their ids, cells, exercises, figures, fenced code, tables, displayed formulas)
come in the same order; between two blocks stand the same values, citations and formulas, in whatever
order the sentence wants; each stretch has the same numerals (万 and 亿 understood).
"""

import calendar
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkdocs.utils.yaml import yaml_load

from tutorial_site.page import FIGURE, HEADING, NO_PROSE, Construct, blank, constructs, line_of
from tutorial_site.repository import LANGUAGES, pages, read

TABLE = re.compile(r"(?:^[ ]*\|.*\n?)+", re.MULTILINE)
WORDS = re.compile(r'\s*\b(?:alt|caption|title)="[^"]*"')
TEXT = re.compile(r"\\(?:text|mbox|textrm)\s*\{[^{}]*\}")
PUNCTUATION = str.maketrans("，。；：（）", ",.;:()")
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)

INLINE = ("value ", "citation ", "formula ")
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

    what: str
    place: str
    inside: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # what stands there: its places
    text: str = ""


def blocks(root: Path, name: str) -> list[Block]:
    """The blocks of a page, in order: its start, and then all that both languages must have alike."""
    markdown = read(root / name)
    found, at = [Block("page start", f"{name}:1")], 0
    for start, end, what in [*sorted(_pieces(markdown)), (len(markdown), len(markdown), "page end")]:
        if start < at:  # inside what was already taken
            continue
        place = f"{name}:{line_of(markdown, start)}"
        found[-1].text += markdown[at:start]
        if what.startswith(INLINE):
            found[-1].inside[what].append(place)
        elif what:
            found.append(Block(what, place))
        at = end
    return found


def _pieces(markdown: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and name of what a page consists of; nothing in code is a heading or a table."""
    for item in constructs(markdown):
        yield item.start, item.end, _name(item)
    words = blank(markdown)
    for match in HEADING.finditer(words):
        name = f"#{match['id']}" if match["id"] else "without an id"
        yield match.start(), match.end("level"), f"heading {match['level']} {name}"
    for match in TABLE.finditer(words):
        rows = match[0].strip().split("\n")
        yield match.start(), match.start() + 1, f"table of {len(rows)} rows and {rows[0].count('|') - 1} columns"
    for match in FIGURE.finditer(words):
        yield match.start(), match.end(), f"figure {match['file'] or match['src'] or '(svg)'}"


def _name(item: Construct) -> str:
    """A construct in words that do not depend on the language; none for comments and code in a sentence."""
    body = " ".join(item.body.split())
    match item.kind:
        case "cell":
            return f"cell {WORDS.sub('', body)}"
        case "citation":
            return "citation " + "; ".join(sorted(re.split(r"\s*;\s*", body)))
        case "display" | "inline":
            formula = re.sub(r"[\s,.，。；;、]+$|\s+", " ", TEXT.sub(r"\\text{}", body).translate(PUNCTUATION)).strip()
            return ("displayed " if item.kind == "display" else "") + f"formula {formula}"
        case "fence":
            head, _, code = item.source.partition("\n")
            return f"code {head.split('title=')[0].strip()}\n{COMMENT.sub('', code)}".strip()
        case "value":  # 1.35 亿 is 135 M: where a format scales the value, each language has its own
            return "value " + re.sub(r":[^:]*[万亿kMB]$", "", body)
        case "exercise" | "list":
            return f"{item.kind} {body}"
    return ""


def numerals(text: str, language: str) -> Counter[float]:
    """Arabic numerals of a stretch of prose, as numbers.

    >>> numerals("1.35 亿个参数", "zh") == numerals("135 million parameters", "en")
    True
    """
    text = NO_PROSE.sub("]", text)
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


def problems(root: Path) -> Iterator[str]:
    """The first difference of each pair of pages, and of the two navigations."""
    zh, en = ({page.relative_to(root / "docs" / language) for page in pages(root, language)} for language in LANGUAGES)
    for page in sorted(zh ^ en):
        here, there = LANGUAGES if page in zh else LANGUAGES[::-1]
        yield f"docs/{here}/{page}:1: has no docs/{there}/{page}"
    for page in sorted(zh & en):
        both = {language: blocks(root, f"docs/{language}/{page.as_posix()}") for language in LANGUAGES}
        yield from itertools.islice(_differences(both), 1)
    yield from itertools.islice(_navigation(root / "mkdocs.yml", root / "mkdocs.en.yml"), 1)


def _differences(both: dict[str, list[Block]]) -> Iterator[str]:
    for one, other in zip(*both.values(), strict=False):
        if one.what != other.what:
            yield f"{one.place}: {one.what} | {other.place}: {other.what}"
            return  # from here on everything is shifted
        for mine, theirs in ((one, other), (other, one)):
            for what, places in mine.inside.items():
                if len(places) > len(theirs.inside.get(what, [])):
                    yield f"{places[-1]}: {what} | {theirs.place}: not after {theirs.what}"
    headings = [index for index, block in enumerate(both["zh"]) if block.what.startswith(("page", "heading"))]
    for start, end in itertools.pairwise([*headings, len(both["zh"])]):
        text = {language: "\n".join(block.text for block in found[start:end]) for language, found in both.items()}
        for here, there in itertools.permutations(LANGUAGES):
            for number in numerals(text[here], here) - numerals(text[there], there):
                if not _in_words(number, text[there], there):
                    mine, theirs = both[here][start], both[there][start]
                    yield f"{mine.place}: number {number:.12g} after {mine.what} | {theirs.place}: not there"


def _navigation(zh: Path, en: Path) -> Iterator[str]:
    files = [list(_leaves(yaml_load(config.open("rb")).get("nav"))) for config in (zh, en)]
    for one, other in itertools.zip_longest(*files, fillvalue="nothing more"):
        if one != other:
            yield f"{zh}: nav has {one.strip()} where {en.name} has {other.strip()}"


def _leaves(nav: Any, depth: int = 0) -> Iterator[str]:
    """The files of a navigation, in order, each with its depth."""
    if isinstance(nav, str):
        yield f"{'  ' * depth}{nav}"
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _leaves(item, depth + isinstance(nav, list))
