"""Exercises: a skeleton that the reader fills in, its checker, and a solution."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tutorial_site import SiteError, nearest


@dataclass(frozen=True)
class Exercise:
    """Code of the skeleton, the command that checks it (from the root of the repository), code of the solution."""

    task: str
    command: str
    answer: str


def read_exercise(root: Path, body: str) -> Exercise:
    """Reads the files of ``{! lora/exercises/merge.py !}``.

    Args:
        root: The repository.
        body: Path of the skeleton under ``snippets/``.

    Raises:
        SiteError: A file is missing; names the nearest exercise that exists.
    """
    skeleton = PurePosixPath("snippets") / body
    checker, solution = skeleton.with_name(f"test_{skeleton.name}"), skeleton.parent / "solutions" / skeleton.name
    names = [path.relative_to(root / "snippets").as_posix() for path in sorted(root.glob("snippets/*/exercises/*.py"))]
    names = [name for name in names if "/test_" not in name]
    if body not in names:
        raise SiteError(f"no exercise {skeleton}{nearest(body, names)}")
    for path in (checker, solution):
        if not (root / path).is_file():
            raise SiteError(f"exercise {body!r} lacks {path}")
    return Exercise(_code(root / skeleton), f"pytest {checker}", _code(root / solution))


def _code(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("# %%")).strip("\n")
