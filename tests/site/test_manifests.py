import json

import pytest
from fixture import change, write

from tutorial_site import SiteError, manifests

SCRIPT = "snippets/demo/train_wave.py"
MANIFEST = "src/llm_tutorial/demo/weights/wave/manifest.json"


def problems(site):
    return [line.replace(f"{site}/", "") for line in manifests.problems(site)]


def edit(site, **values):
    path = site / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_trained_run_is_in_order(site):
    assert problems(site) == []


def test_comments_and_docstrings_ask_for_no_new_training(site):
    change(site, SCRIPT, '"""Learns nothing, quickly."""', '"""Learns nothing at all."""  # and quickly')
    assert problems(site) == []


def test_changed_code_is_named_until_a_replay_gives_the_same_losses(site):
    change(site, SCRIPT, "range(10)", "range(5 + 5)")
    assert problems(site) == [f"{MANIFEST}: trained with other code in {SCRIPT}; run: python -m tutorial_site record"]
    assert manifests.refresh(site) == []
    assert problems(site) == []


def test_replay_with_other_losses_refuses_and_asks_for_a_new_training(site):
    before = (site / MANIFEST).read_bytes()
    change(site, SCRIPT, "rate = 0.5", "rate = 0.6")
    [line] = manifests.refresh(site)
    assert "first, no. 2: 0.6, recorded 0.5" in line
    assert f"run: python -m tutorial_site retrain {SCRIPT}" in line
    assert (site / MANIFEST).read_bytes() == before


def test_manifest_that_was_never_stamped_is_replayed_too(site):
    content = json.loads((site / MANIFEST).read_text())
    del content["code"]
    write(site, MANIFEST, json.dumps(content))
    assert manifests.refresh(site) == []
    assert problems(site) == []


def test_replay_that_writes_nothing_is_an_error(site):
    write(site, SCRIPT, "import json\n")
    with pytest.raises(SiteError, match="wrote no losses"):
        manifests.refresh(site)


def test_new_training_with_other_metrics_is_not_stamped(site):
    change(site, SCRIPT, "rate = 0.5", "rate = 0.8")
    lines = manifests.retrain(site)
    assert "first.accuracy: 0.86578, recorded 0.99805 (tolerance: 5 %)" in lines[0]
    assert problems(site)


def test_new_training_with_the_same_metrics_is_stamped(site):
    change(site, SCRIPT, "rate = 0.5", "rate = 0.49")
    assert manifests.retrain(site, [site / SCRIPT]) == []
    assert problems(site) == []


def test_training_that_fails_is_said(site):
    write(site, SCRIPT, "raise SystemExit(3)\n")
    with pytest.raises(SiteError, match=r"train_wave\.py: ended with code 3"):
        manifests.retrain(site)


def test_manifest_without_seeds_or_data_is_incomplete(site):
    edit(site, seeds=[], data={})
    assert problems(site) == [f"{MANIFEST}: without seeds, data"]


def test_training_script_without_manifest_is_named(site):
    (site / MANIFEST).unlink()
    assert problems(site) == [f"{SCRIPT}: no {MANIFEST}; run: python -m tutorial_site retrain {SCRIPT}"]


def test_weights_are_small_safetensors_with_a_script(site, monkeypatch):
    monkeypatch.setattr(manifests, "LARGEST", 2000)
    monkeypatch.setattr(manifests, "ALL", 2500)
    for path, size in (("wave/model.safetensors", 2001), ("wave/rank-8/model.pt", 5), ("lost/model.safetensors", 5)):
        write(site, f"src/llm_tutorial/demo/weights/{path}", "x" * size)
    text = "\n".join(problems(site))
    assert "wave/model.safetensors: 2,001 bytes; at most 2,000" in text
    assert "wave/rank-8/model.pt: weights are safetensors" in text
    assert "lost/model.safetensors: weights without a script snippets/demo/train_lost.py" in text
    assert "bytes of weights; at most 2,500 in all" in text
