"""Scripts in percent format, as named cells.

A cell opens with ``# %% name`` and may say three things in that header:

* ``# %% sample  differs="greedy text near a tie"``: its text may differ between processors, so a
  re-run is compared by the cell's own assertions only, for the reason given;
* ``# %% speed  tolerance="50%"``: every number that it prints may differ by that much;
* ``# %% setup  hidden``: no page shows it (rare: a cell that only a notebook needs).

A printed value states its tolerance beside it: ``print(f"speedup = {x:.1f}")  # tolerance 50%``.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tutorial_site import SiteError

CELL = re.compile(r"^# %%(?P<header>[^\n]*)(?P<code>.*?)(?=^# %%|\Z)", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r'\s*(?P<name>[a-z][a-z0-9_]*)(?P<options>(?:\s+(?:hidden|(?:differs|tolerance)="[^"]+"))*)\s*')
OPTION = re.compile(r'(\w+)(?:="([^"]*)")?')
TOLERANCE = re.compile(r"""["'](?P<name>\w+) = .*#\s*tolerance:?\s*(?P<share>[\d.]+%?)""")


@dataclass(frozen=True)
class Cell:
    """One named piece of a script."""

    name: str
    code: str
    line: int
    differs: str | None = None
    hidden: bool = False
    tolerance: float | None = None

    @property
    def tolerances(self) -> dict[str, float]:
        """Relative tolerance of each printed value that states one."""
        return {match["name"]: _share(match["share"]) for match in TOLERANCE.finditer(self.code)}


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

    def place(self, name: str) -> str:
        """Where a cell stands, for messages."""
        return f"{self.path}:{self[name].line}: cell {name!r}"


def digest(text: str) -> str:
    """SHA-256 of a text with Unix line ends, so that a checkout on Windows agrees."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def read_script(path: Path) -> Script:
    """Reads a script as a set of named cells.

    Raises:
        SiteError: code stands before the first cell, or a header is not as described above.
    """
    text = path.read_text(encoding="utf-8")
    found = list(CELL.finditer(text))
    if text[: found[0].start() if found else None].strip():
        raise SiteError(f"{path}:1: code before the first '# %% name'")
    cells: dict[str, Cell] = {}
    for match in found:
        line = text.count("\n", 0, match.start()) + 1
        header = HEADER.fullmatch(match["header"])
        if not header:
            raise SiteError(
                f"{path}:{line}: a cell needs a name of a-z, 0-9 and _, as in '# %% adapter', and perhaps hidden, "
                f'differs="why" or tolerance="5%"; this one says {match["header"].strip()!r}'
            )
        name, options = header["name"], dict(OPTION.findall(header["options"]))
        if name in cells:
            raise SiteError(f"{path}:{line}: a second cell named {name!r}")
        tolerance = _share(options["tolerance"]) if "tolerance" in options else None
        code = match["code"].strip("\n")
        cells[name] = Cell(name, code, line, options.get("differs"), "hidden" in options, tolerance)
    return Script(path, tuple(cells.values()), digest(text))
