"""Everything that can be checked without running a script, in one list of problems."""

import tempfile
from pathlib import Path

from tutorial_site import SiteError, build, catalogue, manifests, numbers, parity, record, standard


def _build(root: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return build.build(root, Path(folder))


CHECKS = (
    record.stale,
    manifests.problems,
    parity.problems,
    numbers.problems,
    standard.problems,
    catalogue.missing_and_stale,
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
