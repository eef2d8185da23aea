"""Everything that can be checked without running a script, in one list of problems."""

import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tutorial_site import SiteError, build, manifests, numbers, parity, record, standard


def _catalogue(root: Path) -> Iterator[str]:
    if importlib.util.find_spec("tutorial_site.catalogue"):
        yield from importlib.import_module("tutorial_site.catalogue").missing_and_stale(root)


def _build(root: Path) -> Iterable[str]:
    with tempfile.TemporaryDirectory() as folder:
        return build.build(root, Path(folder))


CHECKS: tuple[Callable[[Path], Iterable[str]], ...] = (
    record.stale,
    manifests.problems,
    parity.problems,
    numbers.problems,
    standard.problems,
    _catalogue,
    _build,
)


def errors(root: Path) -> list[str]:
    """The problems that all checks find, each a line that names its place."""
    found: list[str] = []
    for check in CHECKS:
        try:
            found += check(root)
        except SiteError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))
