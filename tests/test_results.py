import hashlib
import importlib.metadata
import json

import pytest

from llm_tutorial import results
from llm_tutorial.fetch import FetchError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one long run whose weights are on a site, and a cache of its own."""
    run, site = tmp_path / "package/demo/weights/wave", tmp_path / "site/weights/demo/wave"
    for folder in (run, site / "rank-8"):
        folder.mkdir(parents=True)
    (site / "config.json").write_text("{}")
    (site / "rank-8/model.safetensors").write_bytes(b"weights")
    results.seal(site)
    sums = (site / "SHA256SUMS").read_text()
    (run / "SHA256SUMS").write_text(sums)
    (run / "manifest.json").write_text('{"steps": 10}')
    monkeypatch.setattr(results, "PACKAGE", tmp_path / "package")
    monkeypatch.setenv("LLM_TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LLM_TUTORIAL_SITE", (tmp_path / "site").as_uri())
    return tmp_path


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_results_of_a_run_are_read_by_chapter_and_name(package):
    assert results.results("demo", "wave") == {"steps": 10}
    with pytest.raises(ValueError, match=r"no long run 'waves' in chapter 'demo'; there are \['wave'\]"):
        results.results("demo", "waves")


def test_weights_beside_the_manifest_are_taken_from_there(package):
    run = package / "package/demo/weights/wave"
    (run / "rank-8").mkdir()
    (run / "config.json").write_text("{}")
    (run / "rank-8/model.safetensors").write_bytes(b"weights")
    assert results.weights("demo", "wave") == run


def test_weights_that_the_wheel_leaves_out_come_once_from_its_site(package, monkeypatch):
    folder = results.weights("demo", "wave")
    assert names(folder) == [".checked.json", "config.json", "rank-8/model.safetensors"]
    monkeypatch.setenv("LLM_TUTORIAL_SITE", (package / "nowhere").as_uri())
    assert results.weights("demo", "wave") == folder


def test_weights_damaged_in_the_cache_are_fetched_again(package):
    file = results.weights("demo", "wave") / "rank-8/model.safetensors"
    file.write_bytes(b"weight")
    assert (results.weights("demo", "wave") / "rank-8/model.safetensors").read_bytes() == b"weights"


def test_other_weights_than_the_run_wrote_are_discarded(package):
    (package / "site/weights/demo/wave/rank-8/model.safetensors").write_bytes(b"wrong..")
    with pytest.raises(FetchError, match=r"(?s)model.safetensors has the SHA-256 .*已丢弃"):
        results.weights("demo", "wave")
    assert not list((package / "cache").glob("weights-*"))


def test_a_site_that_cannot_be_reached_is_one_sentence_in_each_language(package, monkeypatch):
    monkeypatch.setenv("LLM_TUTORIAL_SITE", (package / "nowhere").as_uri())
    with pytest.raises(FetchError, match=r"(?s)Cannot fetch file:.*无法获取"):
        results.weights("demo", "wave")


def test_the_site_is_where_pip_had_the_wheel_from(monkeypatch):
    class Installed:
        def read_text(self, name):
            return json.dumps({"url": "https://example.org/book/llm_tutorial-0.1.0-py3-none-any.whl"})

    monkeypatch.delenv("LLM_TUTORIAL_SITE", raising=False)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert results._site() == "https://example.org/book/"


def test_a_package_from_nowhere_says_how_to_get_the_weights(package, monkeypatch):
    class Installed:
        def read_text(self, name):
            return None

    monkeypatch.delenv("LLM_TUTORIAL_SITE")
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    with pytest.raises(FetchError, match=r"(?s)LLM_TUTORIAL_SITE.*克隆"):
        results.weights("demo", "wave")


def test_a_run_without_weights_says_so(package):
    (package / "package/demo/weights/wave/SHA256SUMS").write_text(f"{'0' * 64}  manifest.json\n")
    with pytest.raises(ValueError, match=r"(?s)keeps no weights.*没有保存权重"):
        results.weights("demo", "wave")


def test_a_seal_is_what_sha256sum_writes(tmp_path):
    (tmp_path / "a.json").write_bytes(b"1")
    (tmp_path / "replay.json").write_bytes(b"2")
    results.seal(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == f"{hashlib.sha256(b'1').hexdigest()}  a.json\n"
