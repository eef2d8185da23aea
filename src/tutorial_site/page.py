"""The constructs of a page, found in its Markdown source.

==============================  ==========================================================
``{* lora/low_rank.py#name *}``  a cell: its code, then its recorded output (a line of its own)
``{= lora/low_rank.py#x =}``     a recorded value inside a sentence, with an optional ``:.1f``
``[@hu2021lora]``                a citation
``{! lora/exercises/merge.py !}``  an exercise (a line of its own)
``[sources]``, ``[references]``  the works that the page, or the whole language, cites (a line of its own)
``$…$``, ``$$…$$``               formulas
==============================  ==========================================================

Fenced and inline code is left alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PATTERNS = {
    "fence": r"^[ ]*(?P<ticks>`{3,}|~{3,})[^\n`]*\n.*?^[ ]*(?P=ticks)[`~]*[ \t]*$",
    "comment": r"<!--.*?-->",
    "code": r"(?P<tick>`+)(?!`)(?:(?!\n[ ]*\n).)+?(?<!`)(?P=tick)(?!`)",
    "cell": r"^[ ]*\{\*\s*(?P<cell>.+?)\s*\*\}[ \t]*$",
    "exercise": r"^[ ]*\{!\s*(?P<exercise>.+?)\s*!\}[ \t]*$",
    "list": r"^\[(?P<list>sources|references)\][ \t]*$",
    "value": r"\{=\s*(?P<value>.+?)\s*=\}",
    "citation": r"\[@(?P<citation>[\w:.-]+(?:\s*;\s*@[\w:.-]+)*)\]",
    "display": r"(?<!\\)\$\$(?P<display>.+?)\$\$",
    "inline": r"(?<![\\$A-Za-z0-9])\$(?![\s$])(?P<inline>(?:[^$\n\\]|\\.)+?)(?<!\s)\$(?![\d$])",
}
CONSTRUCT = re.compile(
    "|".join(f"(?P<_{kind}>{pattern})" for kind, pattern in PATTERNS.items()), re.MULTILINE | re.DOTALL
)
HEADING = re.compile(
    r"^(?P<level>#{1,6})[ ]+(?P<title>.*?)[ ]*(?:\{[^}\n]*#(?P<id>[\w.-]+)[^}\n]*\})?[ ]*$", re.MULTILINE
)
FIGURE = re.compile(r"!\[[^\]]*\]\((?P<file>[^)\s]+)[^)]*\)|<img[^>]*src=\"(?P<src>[^\"]+)\"|<svg\b")
NO_PROSE = re.compile(  # targets of links, attributes, tags, addresses, front matter
    r"\]\([^)]*\)|\{\s*[:#][^}\n]*\}|<[^>\n]*>|https?://[^\s)）]+|^\[[^\]]+\]:.*$|\A---\n(?s:.*?)\n---$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Construct:
    """A construct on a page: its kind, what stands inside it, its whole source, and where."""

    kind: str
    body: str
    source: str
    start: int
    line: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.source)


def _construct(match: re.Match[str]) -> Construct:
    kind = next(kind for kind in PATTERNS if match[f"_{kind}"] is not None)
    body = match[kind] if kind in match.groupdict() else match[0]
    return Construct(kind, body, match[0], match.start(), line_of(match.string, match.start()))


def constructs(markdown: str) -> Iterator[Construct]:
    """Every construct of a page in order, code (``fence``, ``code``) and comments among them."""
    return map(_construct, CONSTRUCT.finditer(markdown))


def pieces(markdown: str) -> Iterator[Construct | str]:
    """The page from start to end: constructs, and the words between them."""
    at = 0
    for construct in constructs(markdown):
        yield markdown[at : construct.start]
        yield construct
        at = construct.end
    yield markdown[at:]


def replace(markdown: str, put: Callable[[Construct], str], words: Callable[[str], str] = str) -> str:
    """The page with ``put(construct)`` for each construct and ``words(text)`` for what stands between them."""
    return "".join(words(piece) if isinstance(piece, str) else put(piece) for piece in pieces(markdown))


def spaces(text: str, by: str = " ") -> str:
    """As much blank as the text takes; its line ends stay."""
    return re.sub(r"[^\n]", by, text)


def blank(markdown: str) -> str:
    """The page without its constructs and code; every letter stays where it is."""
    return replace(markdown, lambda construct: spaces(construct.source))


def line_of(text: str, position: int) -> int:
    """The line of a position in a text."""
    return text.count("\n", 0, position) + 1
