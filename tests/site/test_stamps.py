"""What passed and did not change is not run again; anything that a run depends on makes it run again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixture import change, write

from tutorial_site import record, stamps

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SCRIPT = "snippets/demo/wave.py"
TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.stamp((Path(__file__).parent / name).read_text, what="files"))
    for name in ("right", "wrong")
])
def test_file(name):
    assert (Path(__file__).parent / name).read_text() == "right"

def test_always():
    pass
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FULL", raising=False)
    return tmp_path / "cache"


def test_stamp_is_there_once_it_was_left(cache):
    assert not stamps.has("a")
    stamps.leave("a")
    assert stamps.has("a")
    assert not stamps.has("b")


def test_stamps_of_long_ago_go(cache):
    stamps.leave("a")
    os.utime(cache / "passed/a", (0, 0))
    stamps.leave("b")
    assert not stamps.has("a")


def test_without_a_folder_for_stamps_nothing_happens(cache):
    cache.write_text("not a folder")
    stamps.leave("a")
    assert not stamps.has("a")


@pytest.fixture
def wave(site):
    """The fixture site whose script uses a library module and the results of a long run."""
    write(site, "src/llm_tutorial/tool.py", 'import json\n\n\ndef f():\n    """Words."""\n    return 1\n')
    write(site, "src/llm_tutorial/other.py", "x = 1\n")
    write(site, "src/llm_tutorial/demo/weights/wave/model.safetensors", "weights")
    change(site, SCRIPT, "import math\n", 'import math\n\nfrom llm_tutorial.tool import f\n\nresults("demo", "wave")\n')
    return site


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (SCRIPT, "range(50)", "range(51)"),
        ("snippets/demo/wave.ipynb", "count = 50", "count = 51"),
        ("src/llm_tutorial/tool.py", "return 1", "return 2"),
        ("src/llm_tutorial/demo/weights/wave/manifest.json", '"steps": 10', '"steps": 11'),
        ("src/llm_tutorial/demo/weights/wave/model.safetensors", "weights", "other"),
        ("src/llm_tutorial/demo/weights/wave/SHA256SUMS", "manifest.json", "manifests.json"),
    ],
)
def test_what_a_snippet_depends_on_asks_for_a_new_run(path, old, new, wave):
    before = stamps.of_snippet(wave, wave / SCRIPT)
    change(wave, path, old, new)
    assert stamps.of_snippet(wave, wave / SCRIPT) != before


def test_what_a_snippet_does_not_depend_on_asks_for_none(wave):
    before = stamps.of_snippet(wave, wave / SCRIPT)
    change(wave, "src/llm_tutorial/tool.py", "Words.", "Better words.")
    change(wave, "src/llm_tutorial/other.py", "1", "2")
    change(wave, "docs/en/demo/wave.md", "in 1822", "in 1823")
    (wave / "src/llm_tutorial/demo/weights/wave/replay.json").write_text("{}")
    assert stamps.of_snippet(wave, wave / SCRIPT) == before


def test_only_versions_of_imported_packages_count(wave, monkeypatch):
    change(wave, "src/llm_tutorial/tool.py", "import json", "import yaml")
    found = {name: record.versions({name}) for name in ("yaml", "pytest")}
    before = stamps.of_snippet(wave, wave / SCRIPT)
    asked = []
    monkeypatch.setattr(record, "versions", lambda names: asked.append(names) or {"PyYAML": "0"})
    assert stamps.of_snippet(wave, wave / SCRIPT) != before
    assert found["yaml"]
    assert asked == [{"math", "yaml"}]


def said_by_pytest(folder: Path, *options: str, **environment: str) -> str:
    """What pytest says of the tests in a folder, which has this project's own conftest.py."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    said = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    return f"{said.stdout}{said.stderr}exit {said.returncode}"


@pytest.fixture
def project(cache, tmp_path, monkeypatch):
    """A folder with two tests that take stamps, of which one fails, and one that takes none."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = stamp(key, what): see above\n")
    (folder / "test_files.py").write_text(TESTS)
    for name in ("right", "wrong"):
        (folder / name).write_text(name)
    return folder


def test_a_test_that_passed_is_left_out_until_something_changes(project):
    assert "1 failed, 2 passed" in said_by_pytest(project)
    second = said_by_pytest(project)
    assert "1 failed, 1 passed" in second, "what failed has no stamp"
    assert "files unchanged since they passed: 1, not run again (FULL=1 runs all)" in second
    assert "skipped" not in second
    assert "1 failed, 2 passed" in said_by_pytest(project, FULL="1")
    assert "exit 0" in said_by_pytest(project, "-k", "right"), "nothing to run is no failure"
    (project / "right").write_text("changed")
    assert "2 failed, 1 passed" in said_by_pytest(project)


def test_tests_in_two_processes_leave_out_the_same(project):
    assert "1 failed, 2 passed" in said_by_pytest(project, "-n2")
    second = said_by_pytest(project, "-n2")
    assert "1 failed, 1 passed" in second
    assert second.count("files unchanged since they passed: 1") == 1
