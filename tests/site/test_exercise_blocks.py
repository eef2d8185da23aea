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
    question, task, command, answer = (
        page.index(
            '<p class="question"><code>merge</code> 里的 <span class="math"><math><mi>a</mi></math></span>是什么？</p>'
        ),
        page.index('class="o">...'),
        page.index("pytest snippets/lora/exercises/test_merge.py"),
        page.index('class="k">return'),
    )
    solution = page.index('<details class="fold"><summary>参考答案</summary>')
    assert question < task < command < solution < answer
    assert "# %%" not in page
    assert "What is" not in page


def test_question_is_in_the_language_of_the_page(root):
    page = render(root, "{! lora/exercises/merge.py !}\n", "en")
    assert "in <code>merge</code>?</p>" in page
    assert "是什么" not in page


@pytest.mark.parametrize("skeleton", ["", '"""Only English."""\n', '"""只有中文。"""\n'])
def test_exercise_needs_its_question_in_both_languages(root, skeleton):
    (root / "snippets/lora/exercises/merge.py").write_text(f"{skeleton}def merge(a):\n    ...\n", encoding="utf-8")
    with pytest.raises(SiteError, match="opens with its question"):
        read_exercise(root, "lora/exercises/merge.py")


@pytest.mark.parametrize("file", ["test_merge.py", "solutions/merge.py"])
def test_exercise_needs_its_checker_and_its_solution(root, file):
    (root / "snippets/lora/exercises" / file).unlink()
    with pytest.raises(SiteError, match=f"exercise 'lora/exercises/merge.py' lacks snippets/lora/exercises/{file}"):
        read_exercise(root, "lora/exercises/merge.py")


def test_command_runs_from_the_root_of_the_repository(root):
    assert (root / read_exercise(root, "lora/exercises/merge.py").command.split()[-1]).is_file()
