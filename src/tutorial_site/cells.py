"""Scripts in percent format, as named cells.

A cell opens with ``# %% name`` and may say five things in that header:

* ``# %% sample  differs="greedy text near a tie"``: its text may differ between processors, so of a
  re-run only figures and the values that state a tolerance are compared, for the reason given;
* ``# %% speed  tolerance="50%"``: every number that it prints or draws may differ by that much;
* ``# %% rates  values``: prints values for the prose, and no page shows it; the cells after it run without it;
* ``# %% race  timed``: it measures time by the clock, so the tests run its script alone;
* ``# %% setup  hidden``: no page shows it (rare: a cell that only a notebook needs).

A printed value states its tolerance beside it: ``print(f"speedup = {x:.1f}")  # tolerance 50%``.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tutorial_site import SiteError
from tutorial_site.repository import read

CELL = re.compile(r"^# %%(?P<header>[^\n]*)(?P<code>.*?)(?=^# %%|\Z)", re.MULTILINE | re.DOTALL)
HEADER = re.compile(
    r'\s*(?P<name>[a-z][a-z0-9_]*)(?P<options>(?:\s+(?:timed|hidden|values|(?:differs|tolerance)="[^"]+"))*)\s*'
)
OPTION = re.compile(r'(\w+)(?:="([^"]*)")?')
TOLERANCE = re.compile(r"#\s*tolerance:?\s*(?P<share>[\d.]+%?)")
EVERY_TOLERANCE = re.compile(r'\btolerance(?:="|:?\s*)([\d.]+%?)')
STATED = re.compile(rf'[ \t]*{TOLERANCE.pattern}[ \t]*$|(?<=^# %%)(.*?)[ \t]+tolerance="[^"\n]*"', re.MULTILINE)
TIMED = re.compile(r'(?<=^# %%)([^"\n]*?)[ \t]+timed\b', re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One named piece of a script."""

    name: str
    code: str
    line: int
    differs: str | None = None
    hidden: bool = False
    tolerance: float | None = None
    timed: bool = False

    @cached_property
    def tolerances(self) -> dict[str, float]:
        r"""Relative tolerance of each printed value that states one beside it.

        The key is a pattern: ``f"accuracy_{heads} = …"`` prints the values ``accuracy_\w+``.
        """
        lines = self.code.splitlines()
        stated: dict[str, float] = {}
        for statement in ast.walk(ast.parse(self.code)):
            if isinstance(statement, ast.Expr):
                for match in map(TOLERANCE.search, lines[statement.lineno - 1 : statement.end_lineno]):
                    stated |= dict.fromkeys(_names(statement), _share(match["share"])) if match else {}
        return stated

    def stated(self, value: str) -> float | None:
        """The tolerance of a printed value: that stated beside it, else that of the header."""
        return next((share for name, share in self.tolerances.items() if re.fullmatch(name, value)), self.tolerance)


def _names(code: ast.AST) -> Iterator[str]:
    """Patterns of the values ``name = …`` that strings in a piece of code print."""
    for node in ast.walk(code):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in parts)
        if match := re.match(r"((?:\w|\\w\+)+) = ", text):
            yield match[1]


def _share(text: str) -> float:
    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)


@dataclass(frozen=True)
class Script:
    """A runnable script and its cells, in order."""

    path: Path
    cells: tuple[Cell, ...]
    digest: str

    def __getitem__(self, name: str) -> Cell:
        return {cell.name: cell for cell in self.cells}[name]

    @property
    def recording(self) -> Path:
        """The notebook that holds what the script printed when it was recorded."""
        return self.path.with_suffix(".ipynb")

    @property
    def timed(self) -> bool:
        """Whether a cell measures time, so that nothing may run beside it."""
        return any(cell.timed for cell in self.cells)

    def place(self, name: str) -> str:
        """Where a cell stands, for messages."""
        return f"{self.path}:{self[name].line}: cell {name!r}"


def digest(text: str) -> str:
    r"""SHA-256 of a script as it runs: a tolerance and the mark ``timed`` are about testing, and ask for no new run.

    Line ends are those of Unix, so that a checkout on Windows agrees.

    >>> digest("# %% a\nprint(1)\n") == digest('# %% a timed tolerance="5%"\r\nprint(1)  # tolerance 5%\r\n')
    True
    """
    code = STATED.sub(lambda match: match[2] or "", TIMED.sub(r"\1", text.replace("\r\n", "\n")))
    return hashlib.sha256(code.encode()).hexdigest()


def read_script(path: Path) -> Script:
    """Reads a script as a set of named cells.

    Raises:
        SiteError: code stands before the first cell, a header is not as described above, or a tolerance
            is so wide that nothing would be compared.
    """
    text = read(path)
    found = list(CELL.finditer(text))
    if text[: found[0].start() if found else None].strip():
        raise SiteError(f"{path}:1: code before the first '# %% name'")
    cells: dict[str, Cell] = {}
    for match in found:
        line = text.count("\n", 0, match.start()) + 1
        header = HEADER.fullmatch(match["header"])
        if not header:
            raise SiteError(
                f"{path}:{line}: a cell needs a name of a-z, 0-9 and _, as in '# %% adapter', and perhaps values, timed, "
                f'hidden, differs="why" or tolerance="5%"; this one says {match["header"].strip()!r}'
            )
        name, options = header["name"], dict(OPTION.findall(header["options"]))
        if name in cells:
            raise SiteError(f"{path}:{line}: a second cell named {name!r}")
        tolerance = _share(options["tolerance"]) if "tolerance" in options else None
        code = match["code"].strip("\n")
        if wide := [share for share in EVERY_TOLERANCE.findall(match[0]) if _share(share) >= 1]:
            raise SiteError(
                f"{path}:{line}: cell {name!r}: a tolerance of {wide[0]} compares nothing; "
                "at 90 % one number may already be ten times the other"
            )
        hidden = bool({"hidden", "values"} & {*options})
        cells[name] = Cell(name, code, line, options.get("differs"), hidden, tolerance, "timed" in options)
    return Script(path, tuple(cells.values()), digest(text))
