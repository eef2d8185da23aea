"""Exercises: a skeleton that the reader fills in, its checker, and a solution."""

import re
from dataclasses import dataclass
from pathlib import Path

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
    skeleton = root / "snippets" / body
    checker, solution = skeleton.with_name(f"test_{skeleton.name}"), skeleton.parent / "solutions" / skeleton.name
    tasks = [path for path in sorted(root.glob("snippets/*/exercises/*.py")) if not path.name.startswith("test_")]
    names = [path.relative_to(root / "snippets").as_posix() for path in tasks]
    if body not in names:
        raise SiteError(f"no exercise snippets/{body}{nearest(body, names)}")
    for path in (checker, solution):
        if not path.is_file():
            raise SiteError(f"exercise {body!r} lacks {path.relative_to(root).as_posix()}")
    return Exercise(_code(skeleton), f"pytest {checker.relative_to(root).as_posix()}", _code(solution))


def _code(path: Path) -> str:
    return re.sub(r"^# %%.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).strip("\n")
