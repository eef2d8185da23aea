"""Files that editors and systems leave among the sources, and files in another encoding, stop nothing."""

import os

import pytest
from fixture import change

from tutorial_site import build, check, record
from tutorial_site.repository import files, pages, scripts
from tutorial_site.serve import Builder

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \xb0\xff"
FOLDERS = ("docs/zh", "docs/zh/demo", "docs/en/demo", "snippets/demo", "snippets/demo/exercises", "src/llm_tutorial")


@pytest.fixture
def littered(site):
    """The fixture site with an Emacs lock, an AppleDouble file and a checkpoint beside every source."""
    for folder in FOLDERS:
        for path in [path for path in (site / folder).iterdir() if path.is_file()]:
            os.symlink("me@host.1:2", path.with_name(f".#{path.name}"))
            path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
            copy = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint{path.suffix}"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (site / "snippets/.ipynb_checkpoints").mkdir()
    (site / "snippets/.ipynb_checkpoints/old.py").write_text("# no cell\nprint(1)\n")
    (site / "snippets/.ipynb_checkpoints/old.ipynb").write_text("{}")
    return site


def test_hidden_files_are_no_pages_and_no_scripts(littered):
    assert [path.name for path in pages(littered, "zh")] == ["wave.md", "index.md"]
    assert [path.name for path in scripts(littered)] == ["wave.py"]
    assert not [path for path in files(littered, "**/*") if "/." in path.relative_to(littered).as_posix()]


def test_a_repository_inside_a_hidden_folder_has_its_files(tmp_path):
    (tmp_path / ".work/docs/en").mkdir(parents=True)
    (tmp_path / ".work/docs/en/index.md").write_text("# Home\n")
    assert [path.name for path in pages(tmp_path / ".work")] == ["index.md"]


def test_hidden_files_stop_no_check_and_no_build(littered, tmp_path):
    assert check.errors(littered) == []
    assert build.build(littered, tmp_path / "out") == []
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".nojekyll"]


def test_hidden_files_stop_no_rebuild_and_cause_none(site, tmp_path, request):
    builder = Builder(site, tmp_path / "out")
    builder()
    request.getfixturevalue("littered")
    assert builder.changed() == []


def test_a_failed_build_is_tried_again_at_the_next_edit_whatever_it_is(site, tmp_path, caplog):
    builder = Builder(site, tmp_path / "out")
    builder()
    change(site, "docs/zh/demo/wave.md", "#samples *}", "#simples *}")
    builder()
    assert "did you mean 'samples'?" in caplog.text
    caplog.clear()
    change(site, "docs/en/demo/wave.md", "# Sine wave", "# The sine wave")  # the other language
    builder()
    assert "did you mean 'samples'?" in caplog.text
    change(site, "docs/zh/demo/wave.md", "#simples *}", "#samples *}")
    builder()
    assert builder.changed() == []


def test_a_build_that_raised_is_tried_again(site, tmp_path, monkeypatch):
    builder = Builder(site, tmp_path / "out")
    with monkeypatch.context() as broken:
        broken.setattr("tutorial_site.serve.build_language", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            builder()
    builder()
    assert (tmp_path / "out/index.html").exists()
    assert (tmp_path / "out/en/index.html").exists()


def test_a_page_in_the_encoding_of_a_country_is_named(site, tmp_path):
    page = site / "docs/zh/demo/wave.md"
    page.write_bytes(page.read_text(encoding="utf-8").encode("gbk"))
    assert [line for line in check.errors(site) if line.startswith(f"{page}: not UTF-8")]
    assert all("demo/wave.md" in line for line in build.build_language(site, "zh", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_byte_order_marks_of_pages_and_scripts_change_nothing(site, tmp_path):
    for path in ("docs/zh/demo/wave.md", "docs/en/index.md", "snippets/demo/wave.py", "src/llm_tutorial/__init__.py"):
        (site / path).write_bytes(b"\xef\xbb\xbf" + (site / path).read_bytes())
    assert check.errors(site) == []
    assert record.rerun(site, site / "snippets/demo/wave.py", quiet=True) == []


@pytest.mark.parametrize(
    ("link", "said"), [("demo/waves.md#failures", "is not found"), ("demo/wave.md#failings", "contain an anchor")]
)
def test_a_failure_names_file_line_and_link_even_if_logging_is_set_up_anew_meanwhile(link, said, site, tmp_path):
    hook = "import logging.config\n\n\ndef on_page_content(html, **_):\n    logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False})\n"
    (site / "hook.py").write_text(hook)  # as a conversion of a notebook does
    config = (site / "mkdocs.en.yml").read_text()
    (site / "mkdocs.en.yml").write_text(config + "hooks: [hook.py]\n")
    change(site, "docs/en/index.md", "\n\nSee", "\n\nWaves.\n\nSee")
    change(site, "docs/en/index.md", "demo/wave.md#failures", link)
    [line] = build.build_language(site, "en", tmp_path / "out")
    assert line.startswith(f"{site}/docs/en/index.md:5: ")
    assert f"'{link}'" in line
    assert said in line
