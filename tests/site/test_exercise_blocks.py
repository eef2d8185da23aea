from pathlib import Path

import pytest
from rendering import make_root, render

from tutorial_site import SiteError
from tutorial_site.shown import read_exercise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


def test_exercise_shows_skeleton_command_and_folded_solution(root):
    page = render(root, "{! lora/exercises/merge.py !}\n", "zh")
    task, command, answer = (
        page.index('class="o">...'),
        page.index("pytest snippets/lora/exercises/test_merge.py"),
        page.index('class="k">return'),
    )
    assert task < command < page.index("<details><summary>参考答案</summary>") < answer
    assert "# %%" not in page


@pytest.mark.parametrize("file", ["test_merge.py", "solutions/merge.py"])
def test_exercise_needs_its_checker_and_its_solution(root, file):
    (root / "snippets/lora/exercises" / file).unlink()
    with pytest.raises(SiteError, match=f"exercise 'lora/exercises/merge.py' lacks snippets/lora/exercises/{file}"):
        read_exercise(root, "lora/exercises/merge.py")


def test_command_runs_from_the_root_of_the_repository(root):
    assert (root / read_exercise(root, "lora/exercises/merge.py").command.split()[-1]).is_file()
