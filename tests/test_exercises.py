"""The checkers are checked: a skeleton and typical mistakes fail with a message that helps, the solution passes.

What a checker says of the skeleton, and of which mistakes, stands in ``tests/CHAPTER/exercises.toml``.
``CHAPTER=lora`` limits the run to one chapter.
"""

import contextlib
import io
import os
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from tutorial_site import stamps

ROOT = Path(__file__).parents[1]
CHAPTER = os.environ.get("CHAPTER") or "*"


class Exercise(NamedTuple):
    skeleton: Path
    hint: str
    mistakes: list[tuple[str, str, str]]

    @property
    def solution(self) -> Path:
        return self.skeleton.parent / "solutions" / self.skeleton.name

    @property
    def checker(self) -> Path:
        return self.skeleton.with_name(f"test_{self.skeleton.name}")


def exercises(toml: Path) -> list[Exercise]:
    folder = ROOT / "snippets" / toml.parent.name / "exercises"
    entries = tomllib.loads(toml.read_text(encoding="utf-8"))
    return [Exercise(folder / f"{name}.py", entry["hint"], entry["mistakes"]) for name, entry in entries.items()]


ALL = [exercise for toml in sorted(ROOT.glob(f"tests/{CHAPTER}/exercises.toml")) for exercise in exercises(toml)]


def stamped(exercise: Exercise, *rest: str) -> object:
    """An exercise that did not change since its test passed is left out."""
    files = [exercise.skeleton, exercise.solution, exercise.checker, ROOT / "snippets/conftest.py", Path(__file__)]
    mark = pytest.mark.stamp(partial(stamps.of_files, ROOT, files), what="tests of exercises")
    return pytest.param(exercise, *rest, marks=mark, id="-".join([exercise.skeleton.stem, *rest[2:]]))


EXERCISES = [stamped(exercise) for exercise in ALL]
MISTAKES = [stamped(exercise, *mistake) for exercise in ALL for mistake in exercise.mistakes]


class Result(NamedTuple):
    returncode: int
    said: str


def check(exercise: Exercise, **environment: str) -> Result:
    """Runs a checker in this process: one of its own would mostly import PyTorch."""
    command = ["-q", "-p", "no:cacheprovider", "--capture=sys", str(exercise.checker)]
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(io.StringIO()) as said:
        return Result(pytest.main(command), said.getvalue())


def test_every_exercise_has_a_solution_a_checker_a_hint_and_a_mistake():
    files = {path for path in ROOT.glob(f"snippets/{CHAPTER}/exercises/*.py") if not path.name.startswith("test_")}
    assert {exercise.skeleton for exercise in ALL} == files
    for exercise in ALL:
        assert exercise.solution.is_file(), exercise.skeleton.name
        assert exercise.checker.is_file(), exercise.skeleton.name
        assert exercise.mistakes, exercise.skeleton.name


def test_command_of_a_page_runs_the_checker():
    exercise = ALL[0]
    command = [sys.executable, "-m", "pytest", exercise.checker.relative_to(ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert exercise.hint in done.stdout


@pytest.mark.parametrize("exercise", EXERCISES)
def test_skeleton_fails_with_a_hint_in_both_languages(exercise):
    result = check(exercise)
    assert result.returncode == 1
    assert exercise.hint in result.said
    assert any("\u4e00" <= character <= "\u9fff" for character in result.said)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_solution_passes(exercise):
    result = check(exercise, EXERCISE_SOLUTION="1")
    assert result.returncode == 0, result.said


@pytest.mark.parametrize(("exercise", "right", "wrong", "hint"), MISTAKES)
def test_typical_mistake_is_named(exercise, right, wrong, hint, tmp_path):
    solution = exercise.solution.read_text(encoding="utf-8")
    assert right in solution
    answer = tmp_path / "answer.py"
    answer.write_text(solution.replace(right, wrong), encoding="utf-8")
    result = check(exercise, EXERCISE_ANSWER=str(answer))
    assert result.returncode == 1
    assert hint in result.said
