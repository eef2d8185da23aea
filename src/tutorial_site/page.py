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
from collections.abc import Iterator
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


@dataclass(frozen=True)
class Construct:
    """A construct on a page: its kind, what stands inside it, and where."""

    kind: str
    body: str
    start: int
    end: int
    line: int


def constructs(markdown: str) -> Iterator[Construct]:
    """Every construct of a page in order, code (``fence``, ``code``) and comments among them."""
    for match in CONSTRUCT.finditer(markdown):
        kind = next(kind for kind in PATTERNS if match[f"_{kind}"] is not None)
        body = match[kind] if kind in match.groupdict() else match[0]
        yield Construct(kind, body, match.start(), match.end(), markdown.count("\n", 0, match.start()) + 1)


def prose(markdown: str) -> str:
    """The page without its constructs and code; line ends stay, so line numbers hold."""
    pieces, at = [], 0
    for construct in constructs(markdown):
        pieces += [markdown[at : construct.start], "\n" * markdown.count("\n", construct.start, construct.end)]
        at = construct.end
    return "".join(pieces) + markdown[at:]
