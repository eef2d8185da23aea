import hashlib
import json

import pytest
from fixture import change, write

from tutorial_site import SiteError, manifests

SCRIPT = "snippets/demo/train_wave.py"
FOLDER = "src/llm_tutorial/demo/weights/wave"
MANIFEST = f"{FOLDER}/manifest.json"


def problems(site):
    return [line.replace(f"{site}/", "") for line in manifests.problems(site)]


def edit(site, file, **values):
    path = site / FOLDER / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def seal(site):
    """As a finished run does."""
    files = [path for path in (site / FOLDER).rglob("*") if path.name not in ("SHA256SUMS", "replay.json")]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files if path.is_file()]
    (site / FOLDER / "SHA256SUMS").write_text("".join(lines))


def refused(site):
    before = (site / FOLDER / "replay.json").read_bytes()
    [line] = manifests.refresh(site)
    assert f"run: python -m tutorial_site retrain {SCRIPT}" in line
    assert (site / FOLDER / "replay.json").read_bytes() == before
    return line


def test_trained_run_is_in_order(site):
    assert problems(site) == []


def test_comments_and_docstrings_ask_for_no_new_training(site):
    change(site, SCRIPT, '"""Learns nothing, quickly."""', '"""Learns nothing at all."""  # and quickly')
    assert problems(site) == []


def test_changed_code_is_named_until_its_probes_are_equal(site):
    change(site, SCRIPT, "range(10)", "range(5 + 5)")
    assert problems(site) == [f"{MANIFEST}: trained with other code in {SCRIPT}; run: python -m tutorial_site record"]
    assert manifests.refresh(site) == []
    assert problems(site) == []


def test_other_losses_ask_for_a_new_training(site):
    change(site, SCRIPT, "RATE, SEEDS = 0.5", "RATE, SEEDS = 0.6")
    assert "first.losses, no. 2: 0.6, recorded 0.5" in refused(site)


def test_a_change_of_a_later_configuration_alone_is_found(site):
    change(site, SCRIPT, '"other": 1 - RATE', '"other": 1 - RATE / 2')
    assert "other.metrics.accuracy: 0.75, recorded 0.5" in refused(site)


def test_an_evaluation_that_compares_predictions_with_themselves_is_found(site):
    change(site, SCRIPT, '"metrics": {"accuracy": accuracy}', '"metrics": {"accuracy": 1.0}')
    assert "first.metrics.accuracy: 1, recorded 0.99805" in refused(site)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"facts": {"seeds": SEEDS, "steps": 10}', '"facts": {"seeds": SEEDS, "steps": 30}', "steps: 30, recorded 10"),
        ("SEEDS = 0.5, [0, 1]", "SEEDS = 0.5, [0, 2]", "first, seed 2"),
        ('{"sines": "0" * 64}', '{"sines": "1" * 64}', "data.sines"),
        ('"steps": 10, "losses"', '"steps": 30, "losses"', "first.steps: 30, recorded 10"),
        ('"losses": losses[:3], "metrics"', '"losses": losses[:3], "held_out": ["test"], "metrics"', "first.held_out"),
    ],
)
def test_other_steps_seeds_and_data_ask_for_a_new_training(site, old, new, said):
    change(site, SCRIPT, old, new)
    assert said in refused(site)


def test_a_run_that_was_never_probed_is_held_against_its_own_losses(site):
    (site / FOLDER / "replay.json").unlink()
    assert problems(site) == [f"{MANIFEST}: trained with other code in {SCRIPT}; run: python -m tutorial_site record"]
    change(site, SCRIPT, '"losses": losses[:3], "metrics"', '"losses": losses[1:4], "metrics"')
    [line] = manifests.refresh(site)
    assert "first, no. 1: 0.5, recorded 1" in line
    change(site, SCRIPT, '"losses": losses[1:4], "metrics"', '"losses": losses[:3], "metrics"')
    assert manifests.refresh(site) == []
    assert problems(site) == []


def test_a_script_that_writes_no_probe_is_named(site):
    write(site, SCRIPT, "import json\n")
    [line] = manifests.refresh(site)
    assert "wrote no probe" in line


def test_a_metric_raised_by_hand_breaks_the_seal(site):
    metrics = json.loads((site / MANIFEST).read_text())["metrics"]
    edit(site, "manifest.json", metrics=metrics | {"first, seed 0": {"accuracy": 0.9999}})
    [line] = problems(site)
    assert line.startswith(f"{MANIFEST}: not what the finished run wrote (SHA256SUMS)")


def test_changed_lost_and_added_weights_break_the_seal(site):
    for name in ("changed", "lost"):
        write(site, f"{FOLDER}/{name}.json", "1.00")
    seal(site)
    assert problems(site) == []
    write(site, f"{FOLDER}/changed.json", "1.01")
    write(site, f"{FOLDER}/added.json", "{}")
    (site / FOLDER / "lost.json").unlink()
    said = [line.replace(f"{FOLDER}/", "").split(";")[0] for line in problems(site)]
    assert said == [
        "added.json: not what the finished run wrote (SHA256SUMS)",
        "changed.json: not what the finished run wrote (SHA256SUMS)",
        "lost.json: not there, though the run wrote it",
    ]


def test_results_without_a_seal_are_named(site):
    (site / FOLDER / "SHA256SUMS").unlink()
    assert "no SHA256SUMS, which a finished run writes" in problems(site)[0]


def test_new_training_with_other_metrics_is_not_probed(site):
    change(site, SCRIPT, "RATE, SEEDS = 0.5", "RATE, SEEDS = 0.8")
    lines = manifests.retrain(site)
    assert "first, seed 0.accuracy: 0.86578, recorded 0.99805 (tolerance: 5 %)" in lines[0]
    assert problems(site)


def test_new_training_with_the_same_metrics_is_probed(site):
    (site / FOLDER / "replay.json").unlink()
    assert manifests.retrain(site, [site / SCRIPT]) == []
    assert problems(site) == []


def test_training_that_fails_is_said(site):
    write(site, SCRIPT, "raise SystemExit(3)\n")
    with pytest.raises(SiteError, match=r"train_wave\.py: ended with code 3"):
        manifests.retrain(site)


def test_manifest_without_seeds_or_data_is_incomplete(site):
    edit(site, "manifest.json", seeds=[], data={})
    seal(site)
    assert problems(site) == [f"{MANIFEST}: without seeds, data"]


def test_run_that_only_measures_owes_no_seeds_and_no_losses(site):
    edit(site, "manifest.json", seeds=[], losses={}, steps=0)
    seal(site)
    assert problems(site) == []


def test_training_script_without_manifest_is_named(site):
    (site / MANIFEST).unlink()
    assert problems(site) == [f"{SCRIPT}: no {MANIFEST}; run: python -m tutorial_site retrain {SCRIPT}"]


def test_weights_are_small_safetensors_of_a_script_that_a_snippet_loads(site, monkeypatch):
    monkeypatch.setattr(manifests, "LARGEST", 9000)
    monkeypatch.setattr(manifests, "ALL_ELSEWHERE", 9500)
    for path, size in (("wave/model.safetensors", 9001), ("wave/rank-8/model.pt", 5), ("lost/model.safetensors", 5)):
        write(site, f"src/llm_tutorial/demo/weights/{path}", "x" * size)
    text = "\n".join(problems(site))
    assert "wave/model.safetensors: 9,001 bytes; at most 9,000" in text
    assert "wave/rank-8/model.pt: weights are safetensors" in text
    assert "lost/model.safetensors: weights without a script snippets/demo/train_lost.py" in text
    assert 'wave/model.safetensors: no snippet loads it with weights("demo", "wave")' in text
    assert "bytes of weights; at most 9,500 in this chapter" in text
