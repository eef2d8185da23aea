"""Everything that can be checked without running a script, in one list of problems."""

import tempfile
from pathlib import Path

from tutorial_site import SiteError, build, catalogue, figures, manifests, numbers, parity, record, standard


def _build(root: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return build.build(root, Path(folder))


MODULES = (record, manifests, parity, numbers, standard, catalogue, figures)  # each lists the `problems` of its kind


def errors(root: Path) -> list[str]:
    """The problems that all checks find, each a line that names its place."""
    found: list[str] = []
    for check in (*(module.problems for module in MODULES), _build):
        try:
            found += check(root)
        except SiteError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))
