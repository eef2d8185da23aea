"""The build: strict and quick, without torch; what it puts on the site; what an edit rebuilds."""

import json
import os
import re
import zipfile
from pathlib import Path

import links
import nbformat
import pytest
from fixture import change

from tutorial_site import build, catalogue, notebooks, shown
from tutorial_site.serve import Builder
from tutorial_site.wheel import build_wheel

ROOT = Path(__file__).parents[2]
LESSON = "lora/low-rank"


def test_both_languages_build_strictly_in_two_fifths_of_a_second_a_page_without_torch(built):
    pages = len(list(built.rglob("index.html")))
    assert float(built.with_name("built.seconds").read_text()) < 0.4 * pages
    assert (built / "index.html").is_file()
    assert (built / "en/index.html").is_file()


def test_every_internal_link_and_anchor_of_the_site_resolves(built):
    assert not list(links.problems(built))


def test_every_internal_link_and_anchor_of_the_archive_resolves(archive):
    assert not list(links.problems(archive))


def test_site_names_no_other_host_as_a_source(built):
    """What a browser would fetch by itself; links that a reader may follow are another thing."""
    fetched = re.compile(
        r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//(?!127\.0\.0\.1)[^>]*>"""
    )
    for path in built.rglob("*.html"):
        found = [tag for tag in fetched.findall(path.read_text(encoding="utf-8")) if 'rel="canonical"' not in tag]
        assert not found, path


@pytest.mark.parametrize("language", ["", "en/"])
def test_foot_of_a_page_offers_scripts_notebook_wheel_and_citation(language, built):
    folder = built / language / LESSON
    page = (folder / "index.html").read_text(encoding="utf-8")
    foot = page[page.index('class="page-foot"') :]
    targets = re.findall(r'href="([^"]+)" download', foot)
    assert all((folder / target).resolve().is_file() for target in targets)
    kinds = {Path(target).suffix for target in targets}
    assert kinds == {".py", ".ipynb", ".whl"}
    scripts = shown.page_scripts(ROOT, (ROOT / f"docs/zh/{LESSON}.md").read_text(encoding="utf-8"))
    assert [target for target in targets if target.endswith(".py")] == [
        f"../../{script.path.relative_to(ROOT).as_posix()}" for script in scripts
    ]
    assert "torch 2.13.0" in foot
    assert re.search(r"\d{4}-\d\d-\d\d", foot)
    assert "@misc{llm-tutorial-lora-low-rank" in foot


@pytest.mark.parametrize("language", ["zh", "en"])
def test_notebook_of_a_page_is_its_words_and_its_code(language, built):
    place = built / build.FOLDERS[language] / "notebooks" / f"{LESSON}"
    notebook = nbformat.read(place / "low-rank.ipynb", as_version=4)
    nbformat.validate(notebook)
    source = (ROOT / f"docs/{language}/{LESSON}.md").read_text(encoding="utf-8")
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"\{[*=!]|\[@|^\[sources\]|\{#", words, re.MULTILINE)
    for script in shown.page_scripts(ROOT, source):
        named = [f"{script.path.stem}-{cell.name}"[:64] for cell in script.cells]
        held = [cell.id for cell in notebook.cells if cell.id in named]
        assert held == named[: len(held)], "the cells of a script come in its order, none left out between"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "%pip install" in first.source
    assert "llm_tutorial-" in first.source


@pytest.mark.parametrize("language", ["zh", "en"])
def test_notebook_view_is_small_and_brings_no_style_of_its_own(language, built):
    view = (built / build.FOLDERS[language] / "notebooks" / LESSON / "index.html").read_text(encoding="utf-8")
    assert len(view.encode()) <= 1_000_000
    assert "<style" not in view
    assert "mermaid" not in view
    assert "require.js" not in view
    assert "<math" in view


def test_notebook_runs_cells_that_the_page_left_out_before_the_one_it_shows(site):
    markdown = "# Wave {#wave}\n\n{* demo/wave.py#aliased *}\n"
    notebook = notebooks.page_notebook(site, "en", markdown, lambda target: target, ["wheel.whl"])
    ids = [cell.id for cell in notebook.cells if cell.cell_type == "code"]
    assert ids == ["install", "wave-samples", "wave-draw", "wave-clipped", "wave-aliased", "wave-quoted"]


def test_notebook_keeps_the_values_that_follow_a_shown_cell(site):
    markdown = "# Wave {#wave}\n\n{* demo/wave.py#aliased *}\n\nIt keeps {= demo/wave.py#kept =}.\n"
    notebook = notebooks.page_notebook(site, "en", markdown, lambda target: target, ["wheel.whl"])
    assert [cell.id for cell in notebook.cells if cell.cell_type == "code"][-2:] == ["wave-aliased", "wave-quoted"]
    assert "It keeps 0.04." in notebook.cells[-1].source


def test_notebook_keeps_the_recorded_outputs_and_the_alt_text(site):
    markdown = '{* demo/wave.py#draw output=only alt="A wave" *}\n\nIt peaks at {= demo/wave.py#peak:.2f =}.\n'
    notebook = notebooks.page_notebook(site, "en", markdown, lambda target: target, ["wheel.whl"])
    [drawn] = [cell for cell in notebook.cells if cell.id == "wave-draw"]
    assert drawn.metadata["alt"] == "A wave"
    assert "image/svg+xml" in drawn.outputs[0].data
    assert "It peaks at 1.00." in notebook.cells[-1].source


def test_each_language_has_its_own_search_index(built):
    texts = {}
    for language, folder in build.FOLDERS.items():
        index = json.loads((built / folder / "search/search_index.json").read_text(encoding="utf-8"))
        texts[language] = "".join(entry["text"] for entry in index["docs"])
        assert not any(entry["location"].startswith(("en/", "../")) for entry in index["docs"])
    chinese = {language: len(re.findall(r"[\u4e00-\u9fff]", text)) / len(text) for language, text in texts.items()}
    assert chinese["zh"] > 10 * chinese["en"]


def test_wheel_on_the_site_holds_the_library_and_is_built_once(built):
    [wheel] = built.glob("*.whl")
    assert wheel.name == "llm_tutorial-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "llm_tutorial/lora/linear.py" in names
    made = build_wheel(ROOT)
    before = made.stat().st_mtime_ns
    assert build_wheel(ROOT).stat().st_mtime_ns == before
    assert made.read_bytes() == wheel.read_bytes()


def test_every_docstring_of_the_reference_has_a_chinese_text_and_no_translation_is_stale():
    assert not list(catalogue.problems(ROOT))


def test_a_changed_docstring_is_missing_and_its_translation_stale(tmp_path):
    (tmp_path / "docs/en/api").mkdir(parents=True)
    (tmp_path / "docs/en/api/demo.md").write_text("::: demo\n")
    (tmp_path / "src/demo").mkdir(parents=True)
    code = tmp_path / "src/demo/__init__.py"
    code.write_text(
        '"""Waves."""\n\n\ndef peak(wave):\n    """Largest value.\n\n    Args:\n        wave: Samples.\n    """\n'
    )
    assert len(list(catalogue.problems(tmp_path))) == 3
    po = tmp_path / "src/tutorial_site/locale/zh/floor.po"
    po.parent.mkdir(parents=True)
    po.write_text(
        'msgid "Waves."\nmsgstr "波。"\n\nmsgid "Largest value."\nmsgstr "最大值。"\n\nmsgid "Samples."\nmsgstr "样本。"\n',
        encoding="utf-8",
    )
    assert not list(catalogue.problems(tmp_path))
    code.write_text(code.read_text().replace("Samples.", "Its samples."))
    missing, stale = catalogue.problems(tmp_path)
    assert "src/demo/__init__.py" in missing
    assert "'Its samples.'" in missing
    assert "'Samples.'" in stale


def test_chinese_reference_is_in_chinese(built):
    page = (built / "api/lora/index.html").read_text(encoding="utf-8")
    assert "更新量的秩" in page
    assert "Rank of the update" not in page
    assert "Rank of the update" in (built / "en/api/lora/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("edited", "rebuilt"),
    [
        ("docs/zh/demo/wave.md", ["zh"]),
        ("docs/en/demo/wave.md", ["en"]),
        ("mkdocs.en.yml", ["en"]),
        ("mkdocs.yml", ["zh", "en"]),
        ("docs/references.bib", ["zh", "en"]),
        ("snippets/demo/wave.ipynb", ["zh", "en"]),
        ("src/llm_tutorial/__init__.py", ["zh", "en"]),
    ],
)
def test_an_edit_rebuilds_only_the_language_that_it_touches(edited, rebuilt, site, tmp_path):
    builder = Builder(site, tmp_path / "out")
    assert builder.changed() == ["zh", "en"], "all at the start"
    assert builder.changed() == []
    later = (site / edited).stat().st_mtime_ns + 10**9
    os.utime(site / edited, ns=(later, later))
    assert builder.changed() == rebuilt


def test_only_a_language_that_changed_is_built_again(site, tmp_path, monkeypatch):
    built, configs, load = [], dict(build.CONFIGS), build.load_config
    monkeypatch.setattr(build, "load_config", lambda config, **rest: built.append(config) or load(config, **rest))

    def made() -> list[str]:
        built.clear()
        for language in configs:
            assert build.build_language(site, language, tmp_path / "out") == []
        return list(built)

    assert made() == ["mkdocs.yml", "mkdocs.en.yml"]
    before = (tmp_path / "out/en/demo/wave/index.html").read_bytes()
    assert made() == []
    assert (tmp_path / "out/en/demo/wave/index.html").read_bytes() == before
    change(site, "docs/en/index.md", "See ", "See also ")
    assert made() == ["mkdocs.en.yml"]
    assert "See also" in (tmp_path / "out/en/index.html").read_text(encoding="utf-8")
    change(site, "snippets/demo/train_wave.py", "quickly", "at once")
    assert made() == ["mkdocs.yml", "mkdocs.en.yml"]
    change(site, "docs/en/index.md", "#failures", "#failings")
    assert build.build_language(site, "en", tmp_path / "out")
    assert build.build_language(site, "en", tmp_path / "out"), "a failure is not kept"


def test_a_mistake_leaves_the_former_pages_in_place(site, tmp_path, caplog):
    out = tmp_path / "out"
    builder = Builder(site, out)
    builder()
    before = (out / "demo/wave/index.html").read_bytes()
    page = site / "docs/zh/demo/wave.md"
    page.write_text(page.read_text(encoding="utf-8").replace("#samples", "#simples"), encoding="utf-8")
    builder()
    assert (out / "demo/wave/index.html").read_bytes() == before
    assert "did you mean 'samples'?" in caplog.text
