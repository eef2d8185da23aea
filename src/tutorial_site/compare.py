"""Does a run still give what was recorded?

Text must be equal, whole numbers too; numbers with a decimal point or an exponent agree within a
relative tolerance: that stated beside the printed value, else that of the cell's header, else
``DEFAULT``. Figures agree loosely: see `drawings`. Of a cell with ``differs="why"`` the text may be
another, but the values that state a tolerance, and the figures, are compared.
"""

import base64
import difflib
import html
import math
import re
from collections.abc import Iterator
from dataclasses import replace

from tutorial_site import drawings
from tutorial_site.cells import Cell, Script
from tutorial_site.recording import Output, figure, text_of

DEFAULT = 1e-3
NEAR_ZERO = 1e-6
WIDE = 0.5  # for figures of a cell whose text may differ, where it states no tolerance
NUMBER = re.compile(r"[ ]*(?<![\w.])([-+−]?(?:\d[\d,]*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\d])[ ]*")
NAMED = re.compile(r"^(\w+) = ")
TAG = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.DOTALL)


def compare(script: Script, recorded: dict[str, list[Output]], got: dict[str, list[Output]]) -> list[str]:
    """Every difference between a recording and a new run, as lines that name script, cell and value."""
    return [
        f"{script.place(cell.name)}: {difference}"
        for cell in script.cells
        for difference in compare_cell(cell, recorded.get(cell.name, []), got.get(cell.name, []))
    ]


def compare_cell(cell: Cell, recorded: list[Output], got: list[Output]) -> Iterator[str]:
    """The differences between two lists of outputs of one cell."""
    if cell.differs:
        recorded, got = _held(cell, recorded), _held(cell, got)
    was, now = [_kind(output) for output in recorded], [_kind(output) for output in got]
    if was != now:
        yield f"gives {', '.join(now) or 'nothing'}; recorded: {', '.join(was) or 'nothing'}"
        return
    for one, other in zip(recorded, got, strict=True):
        yield from _figure(cell, one, other) if figure(one) else _text(cell, plain(one), plain(other))


def _held(cell: Cell, outputs: list[Output]) -> list[Output]:
    """What a cell that may differ is held to: the values that state a tolerance, then the figures."""
    lines = "\n".join(text_of(output) for output in outputs).splitlines()
    stated = [line for line in lines if (name := NAMED.match(line)) and cell.stated(name[1]) is not None]
    values: list[Output] = [{"output_type": "stream", "name": "stdout", "text": "\n".join(stated)}] if stated else []
    return values + [output for output in outputs if figure(output)]


def _kind(output: Output) -> str:
    return figure(output) or ("table" if "text/html" in output.get("data", {}) else "text")


def plain(output: Output) -> str:
    """The text of an output; a table's is what it shows without its tags."""
    data = output.get("data", {})
    if "text/html" in data:
        rows = re.sub(r"</tr>\s*", "\n", "".join(data["text/html"]))
        return html.unescape("\n".join(" ".join(TAG.sub(" ", row).split()) for row in rows.split("\n")))
    return text_of(output)


def _text(cell: Cell, recorded: str, got: str) -> Iterator[str]:
    was, now = recorded.rstrip().splitlines(), got.rstrip().splitlines()
    if len(was) != len(now):
        diff = difflib.unified_diff(was, now, "recorded", "now", lineterm="", n=1)
        yield "prints other lines\n    " + "\n    ".join(diff)
        return
    for one, other in zip(was, now, strict=True):
        yield from _line(cell, one, other)


def _figure(cell: Cell, recorded: Output, got: Output) -> Iterator[str]:
    kind = str(figure(recorded))
    one, other = ("".join(output["data"][kind]).strip() for output in (recorded, got))
    tolerance = cell.tolerance or (WIDE if cell.differs else 0)
    if one == other:
        return
    if kind != "image/svg+xml":
        yield from drawings.pictures(base64.b64decode(one), base64.b64decode(other), tolerance)
        return
    was, now = drawings.read(one), drawings.read(other)
    loose = replace(cell, code="", tolerance=max(tolerance, drawings.LOOSE))
    yield from _text(loose, "\n".join(was.words), "\n".join(now.words))
    yield from drawings.differences(was, now, tolerance)


def _line(cell: Cell, recorded: str, got: str) -> Iterator[str]:
    was, now = NUMBER.split(recorded.rstrip()), NUMBER.split(got.rstrip())
    if was[::2] != now[::2]:
        yield f"prints {got!r}; recorded: {recorded!r}"
        return
    name = NAMED.match(recorded)
    for one, other in zip(was[1::2], now[1::2], strict=True):
        stated = cell.stated(name[1] if name else "")
        if not close(one, other, stated):
            within = "exactly equal" if _whole(one, other) and stated is None else f"{100 * (stated or DEFAULT):g} %"
            yield f"{name[1] if name else repr(got)}: {other}, recorded {one} (tolerance: {within})"


def close(one: str, other: str, tolerance: float | None = None) -> bool:
    """Whether two printed numbers agree.

    >>> close("0.1234", "0.12341"), close("1000", "1001"), close("3.0", "3.9", 0.5)
    (True, False, True)
    """
    if _whole(one, other) and tolerance is None:
        return one == other
    return math.isclose(_number(one), _number(other), rel_tol=tolerance or DEFAULT, abs_tol=NEAR_ZERO)


def _whole(*numbers: str) -> bool:
    return all(re.fullmatch(r"[-+−]?[\d,]+", number) for number in numbers)


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-").strip() or "nan")
