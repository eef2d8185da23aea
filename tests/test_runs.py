import json
import sys

import pytest

from llm_tutorial import results, runs
from llm_tutorial.runs import LongRun
from llm_tutorial.saved_state import StateError


@pytest.fixture
def script(tmp_path, monkeypatch):
    path = tmp_path / "snippets/demo/train_wave.py"
    path.parent.mkdir(parents=True)
    path.write_text("steps = 10\n")
    monkeypatch.setattr(results, "PACKAGE", tmp_path / "package")
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path / "cache"))
    for name in (runs.PROBE, runs.PROBED_STEPS, runs.RETRAIN):
        monkeypatch.setenv(name, "")  # so that the end of the test takes away what the test sets
        monkeypatch.delenv(name)
    return path


def train(script, accuracy=0.5, seeds=(0, 1), **options):
    run = LongRun("wave", script, **options)
    run.data = {"train": "0" * 64}
    for kind in ("slow", "fast"):
        for seed in seeds:
            run.measure(f"{kind}, seed {seed}", lambda: {"losses": [0.123456789] * 20, "accuracy": accuracy})
    run.finish(seeds=list(seeds), steps=20)
    return run


def test_a_finished_run_leaves_a_sealed_manifest_and_no_state(script, tmp_path):
    run = train(script)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["metrics"]["fast, seed 1"] == {"accuracy": 0.5}
    assert manifest["losses"]["slow, seed 0"] == [0.123457] * 10
    assert list(results.sums(run.folder)) == ["manifest.json"]
    assert not (tmp_path / "cache/runs/demo/wave").exists()


def test_an_interrupted_script_computes_only_what_is_missing(script):
    LongRun("wave", script).measure("first", lambda: {"accuracy": 0.25})
    again = LongRun("wave", script)
    assert again.measure("first", pytest.fail)["accuracy"] == 0.25


def test_changed_code_starts_anew_and_says_so(script, capsys):
    LongRun("wave", script).measure("first", lambda: {"accuracy": 0.25})
    script.write_text("steps = 11\n")
    changed = LongRun("wave", script)
    assert "other code" in (said := capsys.readouterr().err)
    assert "另行从头开始" in said
    assert changed.measure("first", lambda: {"accuracy": 0.75})["accuracy"] == 0.75
    script.write_text("steps = 10  # as before\n")
    assert LongRun("wave", script).measure("first", pytest.fail)["accuracy"] == 0.25


def test_a_damaged_result_is_named_with_what_to_do(script):
    run = LongRun("wave", script)
    run.measure("first", lambda: {"accuracy": 0.25})
    run.state_of("first").with_suffix(".json").write_text("")
    with pytest.raises(StateError, match=r"(?s)is damaged .*remove it.*请删除它"):
        LongRun("wave", script).measure("first", pytest.fail)


def test_a_probe_takes_one_run_of_each_configuration_and_leaves_the_results(script, tmp_path, monkeypatch):
    sealed = (train(script).folder / "manifest.json").read_bytes()
    monkeypatch.setenv(runs.PROBE, str(tmp_path / "probe.json"))
    probing = train(script, accuracy=0.75, probed_steps=2)
    said = json.loads((tmp_path / "probe.json").read_text())
    assert said["runs"] == ["slow, seed 0", "slow, seed 1", "fast, seed 0", "fast, seed 1"]
    assert said["facts"] == {"seeds": [0, 1], "steps": 20}
    assert list(said["probes"]) == ["slow", "fast"]
    assert said["probes"]["fast"] == {
        "run": "fast, seed 0",
        "steps": 20,
        "losses": [0.123457] * 2,
        "held_out": [],
        "metrics": {"accuracy": 0.75},
    }
    assert (results.PACKAGE / "demo/weights/wave/manifest.json").read_bytes() == sealed
    assert probing.runs["slow, seed 0"] == {"accuracy": 0.5}, "a script chooses by what was recorded"


def test_a_probe_measures_a_few_and_says_of_what(script, tmp_path, monkeypatch):
    test, train_set = list(range(100)), list(range(100, 200))
    assert LongRun("wave", script).few(test) is test
    digests = []
    for items in (test, train_set, test):
        monkeypatch.setenv(runs.PROBE, str(tmp_path / "probe.json"))
        probing = LongRun("wave", script)
        probing.measure("first", lambda probing=probing, items=items: {"sum": sum(probing.few(items))})
        probing.finish()
        digests.append(json.loads((tmp_path / "probe.json").read_text())["probes"]["first"]["held_out"])
    assert probing.runs["first"] == {"sum": 0 + 25 + 50 + 75}
    assert digests[0] == digests[2] != digests[1]


def test_a_run_that_measures_time_is_left_out_of_a_probe(script, tmp_path, monkeypatch):
    monkeypatch.setenv(runs.PROBE, str(tmp_path / "probe.json"))
    probing = LongRun("wave", script)
    probing.measure("time", pytest.fail, timed=True)
    assert list(probing.runs) == ["time"]


def test_code_digest_follows_the_library_and_not_its_comments(script, tmp_path):
    before = runs.code_digest(script)
    script.write_text('"""Doc."""\nsteps = 10  # ten\n')
    assert runs.code_digest(script) == before
    module = type(sys)("llm_tutorial.demo_of_digest")
    module.__file__ = str(tmp_path / "module.py")
    (tmp_path / "module.py").write_text("x = 1\n")
    sys.modules[module.__name__] = module
    try:
        assert runs.code_digest(script) != before
    finally:
        del sys.modules[module.__name__]
