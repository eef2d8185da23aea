import pytest
from fixture import change

from tutorial_site import standard

PAGE = "docs/zh/demo/wave.md"
PROSE = "波在这里只是一个例子，用来说明引擎怎样工作。" * 12


def problems(site):
    return [line.replace(f"{site}/", "") for line in standard.problems(site)]


def test_complete_page_passes(site):
    assert problems(site) == []


@pytest.mark.parametrize("name", standard.SECTIONS)
def test_missing_section_is_named(site, name):
    change(site, PAGE, f"{{#{name}}}", f"{{#no-{name}}}")
    assert [line for line in problems(site) if line.startswith(f"{PAGE}:1: no section {{#{name}}}")]


@pytest.mark.parametrize(("name", "owed"), [(name, name not in standard.OF_A_METHOD) for name in standard.SECTIONS])
def test_page_about_no_method_owes_no_parameters_and_no_scale(site, name, owed):
    change(site, PAGE, "# 正弦波 {#wave}\n", "---\nmethod: false\n---\n\n# 正弦波 {#wave}\n")
    change(site, PAGE, f"{{#{name}}}", f"{{#no-{name}}}")
    assert bool([line for line in problems(site) if f"no section {{#{name}}}" in line]) == owed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{= time =}", "很短", "section {#goals} does not say how long"),
        ("| 参数 | 作用 |\n| --- | --- |\n| 步长 | 见[上文](#aliased) |\n", "", "section {#parameters} has no table"),
        ("{! demo/exercises/halve.py !}", "", "section {#exercises} has 1 exercises; at least 2"),
        ("[sources]", "", "section {#sources} has no line [sources]"),
        ("### 混叠 {#aliased}\n", "", "section {#failures} reproduces 1 failures"),
        (f"{PROSE} 步长", "步长", "characters of prose; at least 200"),
        ("### 混叠 {#aliased}", "### 混叠", "a heading without an explicit id"),
        ("## 学完能做什么 {#goals}", "## 引子 {#intro}\n\n## 学完能做什么 {#goals}", "the first section is {#intro}"),
    ],
)
def test_part_without_content_is_named_with_its_line(site, old, new, message):
    change(site, PAGE, old, new)
    assert [line for line in problems(site) if line.startswith(f"{PAGE}:") and message in line]


def test_figure_must_come_early(site):
    figure = '{* demo/wave.py#draw output=only alt="一个正弦波" caption="50 个样本" *}\n\n'
    change(site, PAGE, figure, "")
    assert f"{PAGE}:1: no figure" in problems(site)
    change(site, PAGE, "## 出处", f"{figure}## 出处")
    assert [line for line in problems(site) if "the first figure comes after 40%" in line]


def test_cell_that_no_page_shows_is_named(site):
    change(site, PAGE, "### 混叠 {#aliased}\n\n{* demo/wave.py#aliased *}", "### 混叠 {#aliased}")
    assert "snippets/demo/wave.py:25: no page in docs/zh shows the code of cell 'aliased'" in problems(site)


def test_cells_stand_on_the_page_in_the_order_of_the_script(site):
    change(site, PAGE, "{* demo/wave.py#clipped *}", "KEEP")
    change(site, PAGE, "{* demo/wave.py#aliased *}", "{* demo/wave.py#clipped *}")
    change(site, PAGE, "KEEP", "{* demo/wave.py#aliased *}")
    assert problems(site) == [
        f"snippets/demo/wave.py: {PAGE} shows 'aliased' before 'clipped'; the script runs it after"
    ]


def test_cell_that_needs_what_no_page_shows_is_named(site):
    change(
        site, "snippets/demo/wave.py", "kept = len(coarse) / len(wave)", "coarse, kept = [], len(coarse) / len(wave)"
    )
    assert problems(site) == []
    script = site / "snippets/demo/wave.py"
    script.write_text(script.read_text() + "\n# %% after\nhalf = [kept / 2 for each in wave]\n")
    assert "snippets/demo/wave.py:33: cell 'after' needs 'kept' of cell 'quoted', which no page shows" in problems(site)
    script.write_text(script.read_text().replace("half = [", "kept = 1\nhalf = ["))
    assert not [line for line in problems(site) if "needs" in line]


def test_hidden_cell_need_not_be_shown(site):
    change(site, PAGE, "{* demo/wave.py#aliased *}", "{* demo/wave.py#clipped *}")
    change(site, "docs/en/demo/wave.md", "{* demo/wave.py#aliased *}", "{* demo/wave.py#clipped *}")
    change(site, "snippets/demo/wave.py", "# %% aliased", "# %% aliased hidden")
    assert problems(site) == []
