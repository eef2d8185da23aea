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
from functools import cache
from pathlib import Path

from tutorial_site import SiteError

HEADER = re.compile(r"^# %%(?P<rest>.*)$")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
DIFFERS = re.compile(r'differs="([^"]+)"')
CELL_TOLERANCE = re.compile(r'tolerance="(?P<number>[\d.]+)(?P<percent>%?)"')
TOLERANCE = re.compile(r"""["'](?P<name>\w+) = .*#\s*tolerance:?\s*(?P<number>[\d.]+)(?P<percent>%?)""")


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
        return {match["name"]: _share(match) for match in map(TOLERANCE.search, self.code.splitlines()) if match}


def _share(match: re.Match[str]) -> float:
    return float(match["number"]) / (100 if match["percent"] else 1)


@dataclass(frozen=True)
class Script:
    """A runnable script and its cells, in order."""

    path: Path
    cells: tuple[Cell, ...]
    digest: str

    def __getitem__(self, name: str) -> Cell:
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise KeyError(name)

    @property
    def recording(self) -> Path:
        """The notebook that holds what the script printed when it was recorded."""
        return self.path.with_suffix(".ipynb")


def digest(text: str) -> str:
    """SHA-256 of a text with Unix line ends, so that a checkout on Windows agrees."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def read_script(path: Path) -> Script:
    """Parses a script; equal files are parsed once."""
    return _parse(path, path.read_text(encoding="utf-8"))


@cache
def _parse(path: Path, text: str) -> Script:
    cells: list[Cell] = []
    header, start, body = "", 0, list[str]()

    def close() -> None:
        code = "\n".join(body).strip("\n")
        if not start:
            if code.strip():
                raise SiteError(f"{path}:1: code before the first '# %% name'")
            return
        words = header.split()
        name = words[0] if words else ""
        if not NAME.match(name):
            raise SiteError(
                f"{path}:{start}: a cell needs a name of a-z, 0-9 and _, as in '# %% adapter'; this one says {name!r}"
            )
        if any(cell.name == name for cell in cells):
            raise SiteError(f"{path}:{start}: a second cell named {name!r}")
        differs = DIFFERS.search(header)
        tolerance = CELL_TOLERANCE.search(header)
        cells.append(
            Cell(
                name,
                code,
                start,
                differs=differs[1] if differs else None,
                hidden="hidden" in words[1:],
                tolerance=_share(tolerance) if tolerance else None,
            )
        )

    for number, line in enumerate(text.splitlines(), 1):
        if match := HEADER.match(line):
            close()
            header, start, body = match["rest"].strip(), number, []
        else:
            body.append(line)
    close()
    return Script(path, tuple(cells), digest(text))
