"""Every snippet runs again, once, and gives what its recording says; the first page works as a reader meets it.

``CHAPTER=lora`` limits the run to one chapter. That recordings are of these very sources, and that the cells of a
page in page order are the script, is what ``python -m tutorial_site check`` says.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tutorial_site import notebooks, record, site_plugin, stamps
from tutorial_site.cells import read_script
from tutorial_site.compare import compare
from tutorial_site.page import constructs
from tutorial_site.recording import read_recording
from tutorial_site.wheel import build_wheel

ROOT = Path(__file__).parents[1]
CHAPTER = os.environ.get("CHAPTER") or "*"
SCRIPTS = [path for path in record.scripts(ROOT) if path.match(f"snippets/{CHAPTER}/*.py")]
PASTED = "lora/first_steps.py"


def name(path: Path) -> str:
    return path.relative_to(ROOT / "snippets").as_posix()


def marked(path: Path) -> object:
    """A script that did not change since it passed is left out; one that measures time runs alone."""
    stamp = pytest.mark.stamp(partial(stamps.of_snippet, ROOT, path), what="snippets")
    return pytest.param(path, id=name(path), marks=[stamp, pytest.mark.alone] if read_script(path).timed else [stamp])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", [marked(path) for path in SCRIPTS])
def test_snippet_gives_what_was_recorded(path):
    script = read_script(path)
    differences = compare(script, read_recording(script).outputs, record.run(ROOT, script, quiet=True).outputs)
    assert not differences, "\n" + "\n".join(differences)


@pytest.fixture(scope="session")
def wheel_only(once):
    """A folder that holds the installed wheel of this project and nothing else."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    return once("wheel", lambda folder: subprocess.run([*pip, "--target", folder, build_wheel(ROOT)], check=True))


SESSION = """
import json, sys
sys.path = [path for path in sys.path if not path.startswith(sys.argv[2])]
sys.path.insert(0, sys.argv[1])
session = {"__name__": "__main__"}
for block in json.load(sys.stdin):
    exec(compile(block, "<pasted>", "exec"), session)
    print(end="\\0")
import llm_tutorial
assert llm_tutorial.__file__.startswith(sys.argv[1]), llm_tutorial.__file__
"""


@pytest.mark.timeout(600)
def test_blocks_pasted_into_a_fresh_session_with_only_the_wheel(wheel_only, tmp_path):
    script = read_script(ROOT / "snippets" / PASTED)
    pages = sorted((ROOT / "docs/zh").rglob("*.md"))
    items = [item for page in pages for item in constructs(page.read_text(encoding="utf-8")) if item.kind == "cell"]
    blocks = [script[item.body.split()[0].partition("#")[2]].code for item in items if item.body.startswith(PASTED)]
    assert len(blocks) == len(script.cells)
    assert not list(wheel_only.rglob("*.safetensors"))
    for uri, file in site_plugin.weights(ROOT).items():  # which the wheel leaves out, and the site carries
        (tmp_path / uri).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / uri).symlink_to(file)
    environment = os.environ | record.ENVIRONMENT | {"MPLBACKEND": "agg", "LLM_TUTORIAL_SITE": tmp_path.as_uri()}
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(wheel_only), str(ROOT / "src")],
        input=json.dumps(blocks), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = {
        cell.name: [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
        for cell, text in zip(script.cells, done.stdout.split("\0"), strict=False)
    }
    assert compare(script, read_recording(script).outputs, got) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_downloaded_notebook_of_a_page_runs_from_top_to_bottom(language, tmp_path):
    markdown = (ROOT / f"docs/{language}/index.md").read_text(encoding="utf-8")
    made = notebooks.page_notebook(ROOT, language, markdown, lambda target: target, ["wheel.whl"])
    path = tmp_path / "index.ipynb"
    nbformat.write(made, path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "install"]
    client = NotebookClient(notebook, km=record.Kernel(), timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=os.environ | record.ENVIRONMENT)
    script = read_script(ROOT / "snippets" / PASTED)
    ran = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    assert list(ran) == [f"{script.path.stem}-{cell.name}" for cell in script.cells]
    got = {cell.name: record.shown(ran[f"{script.path.stem}-{cell.name}"].outputs) for cell in script.cells}
    assert compare(script, read_recording(script).outputs, got) == []
