"""A number in prose is bound, cited, or part of the argument.

A decimal, a percentage or a factor that is typed into prose, outside formulas, code, values and
sentences with a citation, was measured somewhere and may no longer be true: bind it to a recording,
or cite where it comes from. Whole numbers (years, counts, "8 experts") are part of the argument.

A number that is bound is compared in every run: where the cell that prints it may differ, it states
how far it may move.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tutorial_site import SiteError, shown
from tutorial_site.page import NO_PROSE, Construct, constructs, line_of, replace, spaces
from tutorial_site.recording import read_recording
from tutorial_site.repository import pages, read

TYPED = re.compile(
    r"(?P<percentage>\d+(?:\.\d+)? ?(?:[%％]|per\s?cent\b)|百分之\s*[\d零一二两三四五六七八九十百点]+)"
    r"|(?P<factor>\d[\d,]*(?:\.\d+)?\s*(?:倍|[x×](?![\w\d])(?!\s*\d)|(?:times|-?fold)\b))"
    r"|(?P<decimal>(?<![A-Za-z0-9_.-])\d[\d,]*\.\d+(?!\.?\d))"
)
# Names with a point in them: versions, licences, papers.
NAMES = re.compile(
    r"(?:Python|CC BY(?:-SA)?|Apache(?:-| License )?|glibc|CUDA)\s*-?\d+(?:\.\d+)*|\b\d{4}\.\d{4,5}\b", re.IGNORECASE
)
SENTENCE_END = re.compile(r"[。！？；]|[.!?;](?=[\s)\]”\"]|$)|\n(?=\s*(?:\n|[-*+|#>]|\d+\.\s))")
CITED, THERE = "\0", "\1"  # a citation; any other construct


def typed(markdown: str) -> Iterator[tuple[int, str, str]]:
    r"""Typed numbers of a page: line, kind (percentage, factor or decimal), text.

    >>> list(typed("It learns 3 things and is 3.5 % better.\n\nAs [@hu2021lora] says: 3 times less."))
    [(1, 'percentage', '3.5 %')]
    """
    text = replace(markdown, _mark)
    for pattern in (NO_PROSE, NAMES):
        text = pattern.sub(lambda match: spaces(match[0]), text)
    at = 0
    for end in [*(match.end() for match in SENTENCE_END.finditer(text)), len(text)]:
        if CITED not in text[at:end]:
            for match in TYPED.finditer(text, at, end):
                yield line_of(text, match.start()), str(match.lastgroup), match[0]
        at = end


def _mark(construct: Construct) -> str:
    """A construct is no prose, but the caption and the alt text of a cell are."""
    if construct.kind == "cell":
        return construct.source
    return spaces(construct.source, CITED if construct.kind == "citation" else THERE)


def problems(root: Path) -> Iterator[str]:
    """Every typed number of every page, and every bound one that nothing holds true, with file and line."""
    for page in pages(root):
        markdown = read(page)
        for line, kind, number in typed(markdown):
            yield f"{page}:{line}: a typed {kind}, {number!r}: bind it to a recorded value or cite its source"
        for line, body in bound(markdown):
            yield from (f"{page}:{line}: {lack}" for lack in _unheld(root, body))


def bound(markdown: str) -> Iterator[tuple[int, str]]:
    """The values of a page, those in captions among them: line, what stands inside the braces."""
    for construct in constructs(markdown):
        if construct.kind == "value":
            yield construct.line, construct.body
        elif construct.kind == "cell":
            yield from ((construct.line, body) for _, body in bound(construct.body))


def _unheld(root: Path, body: str) -> Iterator[str]:
    """What is wrong with a value whose cell may differ and which states no tolerance."""
    with suppress(SiteError):  # where there is no such value the build says so
        if value := shown.VALUE.fullmatch(body):
            script = shown.find_script(root, value["path"])
            recording, name = read_recording(script, any_source=True), value["name"]
            for cell in script.cells:
                printed = recording.values(cell.name) if cell.name in recording.outputs else {}
                if cell.differs and name in printed and cell.stated(name) is None:
                    place = f"cell {cell.name!r} of snippets/{value['path']}"
                    yield f"value {name!r} comes from {place}, which may differ, and states no tolerance"
