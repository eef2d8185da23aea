"""Zensical reads the same configuration and gets the same chapters, so that the site can move there."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixture import write
from rendering import make_root

from tutorial_site.extension import Page
from tutorial_site.page import constructs

pytest.importorskip("zensical")
REPOSITORY = Path(__file__).parents[2]
CONFIGS = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}

PAGE = """\
---
description: x
---
# Page {#page}

The share is {= lora/small.py#share:% =} of $W_0$ [@hu2021lora].

{* lora/small.py#share *}

{* lora/small.py#plot alt="A figure" *}

{! lora/exercises/merge.py !}

[sources]
"""


def build(root: Path, config: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zensical", "build", "-f", config]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_root(tmp_path)
    extensions = (
        "markdown_extensions: {attr_list: {}, pymdownx.superfences: {}, tutorial_site.extension:TutorialExtension: {}}"
    )
    write(root, "mkdocs.yml", f"site_name: x\ndocs_dir: docs/zh\n{extensions}\n")
    write(root, "docs/zh/index.md", "# Home\n")
    write(root, "docs/zh/lora/page.md", PAGE)
    return root


def test_zensical_shows_code_output_value_formula_figure_exercise_and_sources(root):
    done = build(root, "mkdocs.yml")
    assert done.returncode == 0, done.stderr
    page = (root / "site/lora/page/index.html").read_text(encoding="utf-8")
    assert '<span class="nb">print' in page
    assert '<pre class="output">share = 0.02753' in page
    assert "The share is 2.75% of" in page
    assert "<math><msub><mi>W</mi>" in page
    assert 'aria-label="A figure"' in page
    assert "pytest snippets/lora/exercises/test_merge.py" in page
    assert '<a class="citation" href="#source-hu2021lora">Hu 等，2021</a>' in page
    assert '<li id="source-hu2021lora">' in page


def test_zensical_stops_at_an_unknown_value_with_its_file_and_line(root):
    write(root, "docs/zh/lora/page.md", PAGE.replace("#share:%", "#shore:%"))
    done = build(root, "mkdocs.yml")
    assert done.returncode != 0
    assert (
        "docs/zh/lora/page.md:6: snippets/lora/small.py prints no value 'shore'; did you mean 'share'?"
        in done.stdout + done.stderr
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_zensical_builds_every_page_of_ours(tmp_path, language):
    for folder in ("docs", "snippets"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    for config in REPOSITORY.glob("mkdocs*.yml"):
        shutil.copy(config, tmp_path)
    (tmp_path / "src").symlink_to(REPOSITORY / "src")
    done = build(tmp_path, CONFIGS[language])
    assert done.returncode == 0, done.stderr
    site = tmp_path / ("site/en" if language == "en" else "site")
    for source in sorted((REPOSITORY / "docs" / language).rglob("*.md")):
        name = source.relative_to(REPOSITORY / "docs" / language).with_suffix("")
        page = (site / (name.parent if name.name == "index" else name) / "index.html").read_text(encoding="utf-8")
        markdown = source.read_text(encoding="utf-8")
        kinds = [construct.kind for construct in constructs(markdown)]
        joined = sum(not fold for fold in Page(REPOSITORY, source, markdown).folds.values())
        assert page.count('<div class="cell"') == kinds.count("cell") - joined, name
        assert page.count('<div class="exercise"') == kinds.count("exercise"), name
        assert page.count("<math") >= kinds.count("inline") + kinds.count("display"), name
        assert not re.search(
            r"\{[*=!] ?\w", html.unescape(re.sub(r"<(code|script)\b.*?</\1>", "", page, flags=re.DOTALL))
        ), name
