"""Tables of results: aligned text in a terminal, a table in a notebook and on a page."""

import html
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows by name, each with one entry a column; made by ``table``."""

    columns: tuple[str, ...]  # the heading above the names of the rows first
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """Aligned text: names to the left, entries to the right."""
        lines = [self.columns, *self.rows]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(text)}</th>" for text in self.columns)
        body = "\n".join(
            f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(entry)}</td>' for entry in entries)}</tr>"
            for name, *entries in self.rows
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def show(self) -> None:
        """Displays the table: as HTML in a notebook, as text elsewhere."""
        shell = sys.modules.get("IPython")
        if shell and shell.get_ipython():
            shell.display.display(self)
        else:
            print(self)


def table(rows: Mapping[str, Sequence[object]], columns: Sequence[str], formats: str | Sequence[str] = "") -> Table:
    """A table of results.

    Args:
        rows: Entries of each row, one a column, by the name of the row.
        columns: Headings, the one above the names of the rows first; it may be empty.
        formats: Formats of the numbers, as in ``format``: one for all columns, or one for each.

    Raises:
        ValueError: A row has another number of entries than there are headings for.

    Example:
        >>> table({"dense": [4096, 81.25], "sparse": [512, 80.5]}, ["", "pairs", "F1"], [",", ".1f"])
                pairs    F1
        dense   4,096  81.2
        sparse    512  80.5
    """
    wanted = [formats] * (len(columns) - 1) if isinstance(formats, str) else list(formats)
    for name, entries in rows.items():
        if not len(entries) == len(wanted) == len(columns) - 1:
            raise ValueError(
                f"row {name!r} has {len(entries)} entries; {len(columns) - 1} headings, {len(wanted)} formats\n"
                f"行 {name!r} 有 {len(entries)} 项；表头有 {len(columns) - 1} 项，格式有 {len(wanted)} 项"
            )
    cells = (
        (
            name,
            *(
                entry if isinstance(entry, str) else format(entry, form)
                for entry, form in zip(entries, wanted, strict=True)
            ),
        )
        for name, entries in rows.items()
    )
    return Table(tuple(columns), tuple(cells))


def over_seeds(values: Sequence[float], form: str = ".1f") -> str:
    """The mean over seeds and, where there are several, the lowest and the highest.

    Args:
        values: One for each seed.
        form: Format of each number.

    Example:
        >>> over_seeds([80.0, 81.5, 82.0]), over_seeds([80.0])
        ('81.2 [80.0, 82.0]', '80.0')
    """
    mean = format(sum(values) / len(values), form)
    return f"{mean} [{min(values):{form}}, {max(values):{form}}]" if len(values) > 1 else mean


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _aligned(text: str, width: int, column: int) -> str:
    space = " " * (width - _width(text))
    return space + text if column else text + space
