"""Tests of the tests: one thing is changed at a time, and the check that it is about says so with the right words."""

import importlib
import json
import pkgutil
import re
import shutil
from pathlib import Path

import pytest
from fixture import change

import tutorial_site
from tutorial_site import __main__, build, check, imports, manifests, numbers, parity, record, standard
from tutorial_site.cells import read_script

REPOSITORY = Path(__file__).parents[2]
ZH, EN = "docs/zh/demo/wave.md", "docs/en/demo/wave.md"
SCRIPT, RECORDING = "snippets/demo/wave.py", "snippets/demo/wave.ipynb"
MANIFEST = "src/llm_tutorial/demo/weights/wave/manifest.json"
REPLAY = "src/llm_tutorial/demo/weights/wave/replay.json"
STALE = f"{SCRIPT}: changed since it was recorded; run: python -m tutorial_site record {SCRIPT}"


def problems(checker, root):
    """What one of the checkers says; the builds are one as well."""
    return [line.replace(f"{root}/", "") for line in checker.problems(root)]


class builds:  # noqa: N801, in the place of a module
    """The strict build of one language."""

    def __init__(self, language):
        self.language = language

    def problems(self, root):
        return build.build_language(root, self.language, root / "site")


def test_untouched_site_passes_every_check(site):
    assert check.errors(site) == []


def test_every_checker_is_asked_and_both_builds(site, monkeypatch):
    """What the tests below find in one checker, the command finds."""
    names = {module.name for module in pkgutil.iter_modules(tutorial_site.__path__)} - {"__main__"}
    modules = [importlib.import_module(f"tutorial_site.{name}") for name in sorted(names)]
    checkers = {module for module in modules if hasattr(module, "problems")}
    assert set(check.MODULES) == checkers >= {record, manifests, parity, numbers, standard}
    for module in checkers:
        monkeypatch.setattr(module, "problems", lambda root, name=module.__name__: [name])
    for page in (ZH, EN):
        change(site, page, "[@fourier1822]", "[@fourier1832]")
    found = check.errors(site)
    assert found[:-2] == [module.__name__ for module in check.MODULES]
    assert ["fourier1832" in line for line in found[-2:]] == [True, True]


def test_untouched_site_reruns_as_recorded(site):
    assert record.rerun(site, site / SCRIPT, quiet=True) == []


def test_a_number_typed_into_prose(site):
    change(site, ZH, "大约 2 亿个点", "大约 2 亿个点，快 3 倍")
    change(site, EN, "200 million points", "200 million points, 3 times as fast")
    line = (site / ZH).read_text().split("3 倍")[0].count("\n") + 1
    assert problems(numbers, site) == [
        f"{EN}:{line}: a typed factor, '3 times': bind it to a recorded value or cite its source",
        f"{ZH}:{line}: a typed factor, '3 倍': bind it to a recorded value or cite its source",
    ]


def test_a_number_in_prose_of_one_language(site):
    change(site, EN, "in 1822", "in 1807")
    [line] = problems(parity, site)
    assert re.match(rf"{ZH}:\d+: number 1822 after heading ## #goals \| {EN}:\d+: not there", line)


def test_a_number_in_a_recording(site):
    change(site, RECORDING, '"peak = 0.999\\n"', '"peak = 0.995\\n"')
    [line] = record.rerun(site, site / SCRIPT, quiet=True)
    assert line.endswith("wave.py:1: cell 'samples': peak: 0.999, recorded 0.995 (tolerance: 0.1 %)")


def test_a_figure_that_is_no_longer_drawn(site):
    change(site, RECORDING, '"image/svg+xml"', '"image/png"')
    [line] = record.rerun(site, site / SCRIPT, quiet=True)
    assert "cell 'draw': gives image/svg+xml; recorded: image/png" in line


def test_a_script(site):
    change(site, SCRIPT, "range(50)", "range(51)")
    assert STALE in problems(record, site)


def test_a_comment_of_a_script(site):
    change(site, SCRIPT, "import math\n", "import math  # for the sine\n")
    assert STALE in problems(record, site)


def test_a_bound_value_typed_in_both_languages_alike(site):
    for page in (ZH, EN):
        change(site, page, "{= demo/wave.py#peak:.2f =}", "0.98")
    assert [re.sub(r":\d+:", ":", line) for line in problems(numbers, site)] == [
        f"{page}: a typed decimal, '0.98': bind it to a recorded value or cite its source" for page in (EN, ZH)
    ]


def test_a_section_dropped_in_both_languages_alike(site):
    for page, title in ((ZH, "## 更大的规模"), (EN, "## At scale")):
        change(site, page, f"{title} {{#scale}}\n", "")
    said = [line.partition(";")[0] for line in problems(standard, site)]
    assert said == [f"{page}:1: no section {{#scale}}" for page in (ZH, EN)]


def test_a_heading_in_one_language(site):
    change(site, ZH, "## 会出什么错 {#failures}", "## 会出什么错 {#errors}")
    [line] = parity.problems(site)
    assert re.match(rf"{ZH}:\d+: heading ## #errors \| {EN}:\d+: heading ## #failures", line)
    assert any("no section {#failures}" in problem for problem in standard.problems(site))


def test_a_formula_of_one_language(site):
    change(site, EN, "\\sin(k x)", "\\cos(k x)")
    [line] = problems(parity, site)
    assert "displayed formula" in line
    assert "\\cos(k x)" in line


def test_a_formula_that_does_not_parse(site):
    for page in (ZH, EN):
        change(site, page, "\\sum_{k=1}^{n}", "\\sum_{k=1}^{n")
    for language in ("zh", "en"):
        [line] = problems(builds(language), site)
        assert re.match(rf"docs/{language}/demo/wave\.md:\d+: formula", line)


def test_a_link_to_no_page(site):
    change(site, "docs/en/index.md", "demo/wave.md#failures", "demo/waves.md#failures")
    assert [line for line in problems(builds("en"), site) if "mkdocs.en.yml" in line and "demo/waves.md" in line]


def test_a_link_to_no_anchor(site):
    change(site, "docs/en/index.md", "demo/wave.md#failures", "demo/wave.md#failings")
    assert [line for line in problems(builds("en"), site) if "mkdocs.en.yml" in line and "failings" in line]


def test_the_name_of_a_cell(site):
    change(site, SCRIPT, "# %% clipped", "# %% clippings")
    record.record(site, site / SCRIPT, quiet=True)
    assert f"{SCRIPT}:21: no page in docs/zh shows the code of cell 'clippings'" in problems(standard, site)
    [line] = problems(builds("zh"), site)
    assert "has no cell 'clipped'" in line
    assert "clippings" in line.split("has no cell")[1]


def test_the_name_of_a_cell_on_a_page(site):
    change(site, EN, "{* demo/wave.py#clipped *}", "{* demo/wave.py#cliped *}")
    assert [line for line in problems(parity, site) if "cell demo/wave.py#clipped |" in line]
    [line] = problems(builds("en"), site)
    assert "has no cell 'cliped'; did you mean 'clipped'?" in line


def test_the_order_of_cells_on_a_page(site):
    change(site, EN, "#aliased *}", "#later *}")
    change(site, EN, "#clipped *}", "#aliased *}")
    change(site, EN, "#later *}", "#clipped *}")
    assert problems(standard, site) == [f"{SCRIPT}: {EN} shows 'aliased' before 'clipped'; the script runs it after"]


def test_the_hash_of_a_recording(site):
    notebook = json.loads((site / RECORDING).read_text())
    change(site, RECORDING, notebook["metadata"]["tutorial"]["source"], "0" * 64)
    assert STALE in problems(record, site)


def test_the_hash_of_a_manifest(site):
    digest = json.loads((site / REPLAY).read_text())["code"]["snippets/demo/train_wave.py"]
    change(site, REPLAY, digest, "0" * 64)
    assert problems(manifests, site) == [
        f"{MANIFEST}: trained with other code in snippets/demo/train_wave.py; run: python -m tutorial_site record"
    ]


def test_a_manifest(site):
    change(site, MANIFEST, '"seeds"', '"sedes"')
    missing, seal = problems(manifests, site)
    assert missing == f"{MANIFEST}: without seeds"
    assert seal.startswith(f"{MANIFEST}: not what the finished run wrote (SHA256SUMS)")


def test_a_citation_of_nothing(site):
    change(site, EN, "[@fourier1822]", "[@fourier1832]")
    [line] = problems(builds("en"), site)
    assert "fourier1832" in line
    assert "fourier1822" in line


def test_every_problem_is_listed_and_the_command_fails(site, monkeypatch, capsys):
    change(site, MANIFEST, '"seeds"', '"sedes"')
    change(site, EN, "in 1822", "in 1807")
    monkeypatch.chdir(site)
    assert __main__.main(["check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [MANIFEST, MANIFEST, ZH]


def test_failed_build_leaves_the_former_site(site, tmp_path):
    assert build.build(site, tmp_path / "built") == []
    before = sorted(path.read_bytes() for path in (tmp_path / "built").rglob("*.html"))
    change(site, ZH, "{* demo/wave.py#clipped *}", "{* demo/wave.py#cliped *}")
    assert build.build_language(site, "zh", tmp_path / "built")
    assert sorted(path.read_bytes() for path in (tmp_path / "built").rglob("*.html")) == before


@pytest.fixture
def repository(tmp_path):
    """A copy of the real repository's sources."""
    if not (REPOSITORY / "docs/zh/lora/low-rank.md").exists():
        pytest.skip("the page is not written yet")
    root = tmp_path / "repository"
    for folder in ("docs", "snippets", "src/llm_tutorial"):
        shutil.copytree(
            REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
    for name in ("mkdocs.yml", "mkdocs.en.yml"):
        shutil.copy(REPOSITORY / name, root / name)
    return root


def test_real_page_with_another_heading_in_one_language(repository):
    before = list(parity.problems(repository))
    change(repository, "docs/en/lora/low-rank.md", "{#failures}", "{#errors}")
    [line] = [line for line in parity.problems(repository) if line not in before]
    assert "heading ## #failures | docs/en/lora/low-rank.md" in line


def test_real_page_with_a_typed_number(repository):
    page = repository / "docs/zh/lora/low-rank.md"
    before = list(numbers.problems(repository))
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("{#goals}\n", "{#goals}\n\n正确率是 99.5 %。\n", 1), encoding="utf-8")
    [line] = [line for line in numbers.problems(repository) if "99.5" in line and line not in before]
    assert line.startswith(f"{page}:{text[: text.index('{#goals}')].count(chr(10)) + 3}: a typed percentage")


def test_real_library_with_other_code(repository):
    recording = repository / "snippets/lora/first_steps.ipynb"
    script = recording.with_suffix(".py")
    notebook = json.loads(recording.read_text(encoding="utf-8"))
    notebook["metadata"]["tutorial"] |= {
        "library": imports.library(repository, script),
        "source": read_script(script).digest,
    }
    recording.write_text(json.dumps(notebook), encoding="utf-8")
    assert not [line for line in record.problems(repository) if "first_steps" in line]
    change(repository, "src/llm_tutorial/lora/linear.py", "self.scaling = ", "self.scaling = 2 * ")
    [line] = [line for line in record.problems(repository) if "first_steps" in line]
    assert "recorded with other code in src/llm_tutorial/lora/linear.py; run: python -m tutorial_site record" in line
