import json
import os
import re

import pytest
from fixture import change, write

from tutorial_site import SiteError, __main__, record
from tutorial_site.cells import read_script
from tutorial_site.imports import code_digest, library
from tutorial_site.recording import read_recording


def recording(site):
    return read_recording(read_script(site / "snippets/demo/wave.py"))


def test_recording_holds_values_figure_and_how_it_was_made(site):
    recorded = recording(site)
    assert recorded.values("samples") == {"peak": "0.999", "count": "50"}
    assert list(recorded.outputs["draw"][0]["data"]) == ["image/svg+xml"]
    assert recorded.metadata["time"] == "10 s"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", recorded.metadata["date"])


def test_recording_again_gives_the_same_bytes(site):
    path = site / "snippets/demo/wave.ipynb"
    before = path.read_bytes()
    record.record(site, site / "snippets/demo/wave.py", quiet=True)
    assert path.read_bytes() == before


def test_recording_names_no_place_on_this_machine(site):
    assert str(site) not in (site / "snippets/demo/wave.ipynb").read_text()


def test_date_stays_while_measured_values_wobble_within_tolerance(site):
    path = site / "snippets/demo/wave.ipynb"
    change(site, "snippets/demo/wave.ipynb", '"lost = 0.499\\n"', '"lost = 0.4991\\n"')
    change(site, "snippets/demo/wave.ipynb", json.dumps(recording(site).metadata["date"]), '"2020-02-02"')
    before = path.read_bytes()
    record.record(site, site / "snippets/demo/wave.py", quiet=True)
    assert path.read_bytes() == before


def test_date_moves_when_the_source_does(site):
    change(site, "snippets/demo/wave.ipynb", json.dumps(recording(site).metadata["date"]), '"2020-02-02"')
    change(site, "snippets/demo/wave.py", "wave[::25]", "wave[::10]")
    record.record(site, site / "snippets/demo/wave.py", quiet=True)
    assert recording(site).metadata["date"] != "2020-02-02"
    assert recording(site).values("aliased") == {"left": "5"}


def test_exception_names_the_cell_and_leaves_the_former_recording(site):
    path = site / "snippets/demo/wave.ipynb"
    before = path.read_bytes()
    change(site, "snippets/demo/wave.py", "assert peak <= 1", "assert peak > 1, 'too low'")
    with pytest.raises(SiteError, match=r"(?s)wave\.py:1: cell 'samples' raised AssertionError.*too low"):
        record.record(site, site / "snippets/demo/wave.py", quiet=True)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".wave")] == []


def test_stderr_and_progress_are_dropped_and_prints_join(site):
    write(
        site,
        "snippets/demo/noise.py",
        "# %% noise\nimport sys\nprint('a')\nprint('no', file=sys.stderr)\nprint('b')\nfrom tqdm import tqdm\nlist(tqdm(range(3)))\nNone\n",
    )
    outputs = record.run(site, read_script(site / "snippets/demo/noise.py"), quiet=True).outputs
    assert outputs["noise"] == [{"output_type": "stream", "name": "stdout", "text": "a\nb\n"}]


def test_script_runs_offline_in_an_empty_folder(site):
    write(
        site, "snippets/demo/where.py", "# %% where\nimport os\nprint(os.listdir('.'), os.environ['HF_HUB_OFFLINE'])\n"
    )
    outputs = record.run(site, read_script(site / "snippets/demo/where.py"), quiet=True).outputs
    assert outputs["where"][0]["text"] == "[] 1\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [("import os; print(os.getcwd())", "path of this machine"), ("print(object())", "address in memory")],
)
def test_output_that_only_this_machine_has_is_refused(site, code, message):
    write(site, "snippets/demo/where.py", f"# %% where\n{code}\n")
    with pytest.raises(SiteError, match=message):
        record.run(site, read_script(site / "snippets/demo/where.py"), quiet=True)


def test_rerun_says_what_differs(site):
    change(site, "snippets/demo/wave.ipynb", '"count = 50\\n"', '"count = 51\\n"')
    [line] = record.rerun(site, site / "snippets/demo/wave.py", quiet=True)
    assert "cell 'samples': count: 50, recorded 51" in line


def test_only_what_changed_is_run_again(site, monkeypatch):
    ran = []
    monkeypatch.setattr(record, "record", lambda root, path: ran.append(path.name))
    monkeypatch.chdir(site)
    assert __main__.main(["record"]) == 0
    assert ran == []
    assert __main__.main(["record", "snippets/demo"]) == 0
    change(site, "snippets/demo/wave.py", "range(50)", "range(60)")
    assert __main__.main(["record"]) == 0
    assert ran == ["wave.py", "wave.py"]


def test_unknown_path_is_named(site, monkeypatch, capsys):
    monkeypatch.chdir(site)
    assert __main__.main(["record", "snippets/nothing.py"]) == 1
    assert "snippets/nothing.py: no such script there" in capsys.readouterr().err


def test_library_code_counts_transitively_and_without_docstrings(site):
    write(site, "src/llm_tutorial/demo/__init__.py", "")
    write(site, "src/llm_tutorial/demo/outer.py", "from llm_tutorial.demo.inner import f\n")
    write(site, "src/llm_tutorial/demo/inner.py", 'def f():\n    """Old words."""\n    return 1  # one\n')
    write(site, "src/llm_tutorial/demo/unused.py", "x = 1\n")
    write(site, "snippets/demo/wave.py", "# %% a\nfrom llm_tutorial.demo.outer import f\n")
    path = site / "snippets/demo/wave.py"
    before = library(site, path)
    assert sorted(before) == [
        f"src/llm_tutorial/{name}.py" for name in ("__init__", "demo/__init__", "demo/inner", "demo/outer")
    ]
    change(site, "src/llm_tutorial/demo/inner.py", "Old words.", "New words.")
    assert library(site, path) == before
    change(site, "src/llm_tutorial/demo/inner.py", "return 1", "return 2")
    assert [name for name, digest in library(site, path).items() if before[name] != digest] == [
        "src/llm_tutorial/demo/inner.py"
    ]


def test_script_that_takes_the_results_of_a_long_run_depends_on_its_seal(site):
    write(site, "snippets/demo/wave.py", '# %% a\nprint("wave")\n')
    assert library(site, site / "snippets/demo/wave.py") == {}
    write(site, "snippets/demo/wave.py", '# %% a\nmanifest = results("demo", "wave")\n')
    assert list(library(site, site / "snippets/demo/wave.py")) == ["src/llm_tutorial/demo/weights/wave/SHA256SUMS"]


@pytest.mark.parametrize("call", ['results("demo", name)', "weights(*names)", 'results("demo")'])
def test_results_of_a_computed_name_are_refused(site, call):
    write(site, "snippets/demo/wave.py", f"# %% a\nmanifest = {call}\n")
    with pytest.raises(SiteError, match=r"wave\.py:2: .*is called with two strings"):
        library(site, site / "snippets/demo/wave.py")


def test_code_digest_sees_code_alone():
    assert code_digest('"""Doc."""\nx = [1]  # note\n') == code_digest("x = [ 1 ]") != code_digest("x = [2]")


def test_a_kernel_ends_with_its_run(site):
    pid = int(recording_of(site, "# %% a\nimport os\nprint(f'pid = {os.getpid()}')\n").values("a")["pid"])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def recording_of(site, text):
    write(site, "snippets/demo/wave.py", text)
    record.record(site, site / "snippets/demo/wave.py", quiet=True)
    return recording(site)


def test_a_new_cell_without_outputs_is_recorded(site):
    path = site / "snippets/demo/wave.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# %% silent\nnothing = None\n", encoding="utf-8")
    record.record(site, path, quiet=True)
    assert recording(site).outputs["silent"] == []
