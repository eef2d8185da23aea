"""The checkers are checked: a skeleton and a typical mistake fail with a message that helps, the solution passes."""

import contextlib
import io
import os
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

FOLDER = Path(__file__).parents[2] / "snippets/transformer/exercises"
HINTS = {
    "question_f1": "it has six characters, so six words",
    "question_top": "leave out the one with the lower score",
    "question_cost": "below all scores every question is refused",
}
MISTAKES = {
    "question_f1": (r"[^\s\u4e00-\u9fff]+", r"\S+", "a word ends where a Chinese character begins"),
    "question_top": (" | (place[:, None] > last)", "", "the next best takes its place"),
    "question_cost": ("score > threshold", "score >= threshold", "equal to the threshold is answered"),
}


class Result(NamedTuple):
    returncode: int
    stdout: str


def check(name: str, **environment: str) -> Result:
    """Runs a checker in this process: one of its own would mostly import PyTorch."""
    command = ["-q", "-p", "no:cacheprovider", "--capture=sys", f"{FOLDER}/test_{name}.py"]
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(io.StringIO()) as said:
        return Result(pytest.main(command), said.getvalue())


@pytest.mark.parametrize("name", HINTS)
def test_skeleton_fails_with_a_hint_in_both_languages(name):
    result = check(name)
    assert result.returncode == 1
    assert HINTS[name] in result.stdout
    assert any("\u4e00" <= character <= "\u9fff" for character in result.stdout)


@pytest.mark.parametrize("name", HINTS)
def test_solution_passes(name):
    result = check(name, EXERCISE_SOLUTION="1")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", HINTS)
def test_typical_mistake_is_named(name, tmp_path):
    right, wrong, hint = MISTAKES[name]
    solution = (FOLDER / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    assert right in solution
    answer = tmp_path / "answer.py"
    answer.write_text(solution.replace(right, wrong), encoding="utf-8")
    result = check(name, EXERCISE_ANSWER=str(answer))
    assert result.returncode == 1
    assert hint in result.stdout
