"""Exercises: a skeleton that the reader fills in, its checker, and a solution."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tutorial_site import SiteError, nearest


@dataclass(frozen=True)
class Exercise:
    """The three files of an exercise; ``command`` runs the checker from the root of the repository."""

    skeleton: Path
    checker: Path
    solution: Path
    command: str

    @property
    def task(self) -> str:
        """Code of the skeleton."""
        return _code(self.skeleton)

    @property
    def answer(self) -> str:
        """Code of the solution."""
        return _code(self.solution)


def _code(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("# %%")).strip("\n")


def read_exercise(root: Path, body: str) -> Exercise:
    """Finds the files of ``{! lora/exercises/merge.py !}``.

    Args:
        root: the repository.
        body: path of the skeleton under ``snippets/``.

    Raises:
        SiteError: a file is missing; names the nearest exercise that exists.
    """
    name = PurePosixPath(body)
    skeleton = root / "snippets" / name
    exercise = Exercise(
        skeleton,
        skeleton.with_name(f"test_{name.name}"),
        skeleton.parent / "solutions" / name.name,
        f"pytest snippets/{name.with_name(f'test_{name.name}')}",
    )
    if not skeleton.is_file() or name.suffix != ".py" or ".." in name.parts:
        others = [path.relative_to(root / "snippets").as_posix() for path in root.glob("snippets/*/exercises/*.py")]
        raise SiteError(
            f"no exercise snippets/{body}{nearest(body, [other for other in others if '/test_' not in other])}"
        )
    for path in (exercise.checker, exercise.solution):
        if not path.is_file():
            raise SiteError(f"exercise {body!r} lacks {path.relative_to(root).as_posix()}")
    return exercise
