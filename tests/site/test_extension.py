import html
import re
from pathlib import Path

import markdown
import pytest
from rendering import make_root, render

from tutorial_site import SiteError
from tutorial_site.shown import format_value, page_scripts, run_time


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_cell_shows_its_code_and_then_what_it_printed(root):
    page = render(root, "Before.\n\n{* lora/small.py#share *}\n\nAfter.\n")
    assert (
        page.index('<code><span class="nb">print')
        < page.index('<pre class="output">share = 0.02753')
        < page.index("After.")
    )
    assert "smol&lt;lm&gt;" in page
    assert 'data-cell="lora/small.py#share"' in page


def test_code_on_the_page_is_the_code_of_the_script(root):
    page = render(root, "{* lora/small.py#silent *}\n")
    assert text_of(re.search(r"<code>(.*?)</code>", page, re.DOTALL)[1]) == "x = 1 < 2\n"


def test_output_alone_or_code_alone_can_be_shown(root):
    assert "<code>" not in render(root, "{* lora/small.py#share output=only *}\n")
    assert 'class="output"' not in render(root, "{* lora/small.py#share output=hide *}\n")


FOLD = re.compile(r'<details class="fold"><summary>(.*?)</summary>')


@pytest.mark.parametrize(
    ("language", "options", "words"),
    [
        ("zh", "share code=fold", "代码：share"),
        ("en", "once_more code=fold", "Code: once more"),
        ("zh", "table code=fold", "制表"),
        ("en", "table code=fold", "Table"),
        ("zh", 'plot alt="x"', "绘图"),
        ("en", 'plot alt="x"', "Plot"),
        ("en", 'share code=fold title="where it goes"', "Where it goes"),
    ],
)
def test_fold_says_what_it_holds_in_the_language_of_the_page(root, language, options, words):
    assert FOLD.findall(render(root, f"{{* lora/small.py#{options} *}}\n", language)) == [words]


def test_cell_that_draws_is_folded_unless_the_page_opens_it(root):
    assert not FOLD.search(render(root, '{* lora/small.py#plot alt="x" code=show *}\n'))
    assert FOLD.findall(render(root, "{* lora/small.py#plot output=hide *}\n")) == ["Plot"]


def test_neighbouring_folds_are_one(root):
    silent, plot = "{* lora/small.py#silent code=fold title='x' *}", '{* lora/small.py#plot alt="x" *}'
    silent = silent.replace("'", '"')
    page = render(root, f"{silent}\n\n{plot}\n")
    assert FOLD.findall(page) == ["X, plot"]
    assert page.count('<div class="language-python') == 1, "one block to copy"
    assert page.index("<summary>") < page.index("lt;") < page.index("plot</span>") < page.index("<figure>")


@pytest.mark.parametrize(
    "text",
    [
        "{* lora/small.py#silent code=fold *}\n\nWords.\n\n{* lora/small.py#again code=fold *}\n",
        "{* lora/small.py#share code=fold *}\n\n{* lora/small.py#again code=fold *}\n",
        "{* lora/small.py#silent code=fold *}\n\n{* lora/small.py#table *}\n\n{* lora/small.py#again code=fold *}\n",
    ],
    ids=["words", "an output", "an open cell"],
)
def test_folds_with_something_between_them_stay_apart(root, text):
    assert len(FOLD.findall(render(root, text))) == 2


def test_caption_stands_right_under_its_picture(root):
    page = render(root, '{* lora/small.py#drawn alt="x" caption="Of $r$" *}\n')
    assert re.search(r"</svg>.*?</div>\n<figcaption>Of .*?</figcaption>\n</figure>", page)
    assert page.index("</figure>") < page.index('<pre class="output">after = 1')


def test_list_of_works_says_why_they_matter(root):
    page = render(root, "[@hu2021lora]\n\n[sources]\n")
    assert 'arXiv:2106.09685</a><br><span class="why">Starts &lt;it&gt;.</span></li>' in page
    assert '<span class="why">由此开始。</span>' in render(root, "见 [@hu2021lora]\n\n[sources]\n", "zh")


def test_figure_is_a_drawing_with_its_alt_text_and_size(root):
    page = render(
        root, '{* lora/small.py#plot alt="Share <b>" caption="Of $r$ and {= lora/small.py#share:% =} <i>" *}\n'
    )
    assert '<div class="drawing" role="img" aria-label="Share &lt;b&gt;"' in page
    assert '<svg viewBox="0.00 0.00 72.00 36.00" width="96" height="48"' in page
    assert "<figcaption>Of " in page
    assert "<mi>r</mi></math></span> and 2.75% &lt;i&gt;</figcaption>" in page
    assert "stroke: red" not in page


def test_table_scrolls_by_itself_and_brings_no_style(root):
    page = render(root, "{* lora/small.py#table *}\n")
    assert re.search(r'<div class="output-table" tabindex="0"[^>]*>\s*<div><table><tr><th colspan="2">r', page)


def test_cell_stands_in_lists_admonitions_and_tabs(root):
    page = render(
        root, "1. One.\n\n    {* lora/small.py#silent *}\n\n2. Two.\n\n!!! note\n    {* lora/small.py#share *}\n"
    )
    assert re.search(r"<li>\s*<p>One.</p>\s*<div class=\"cell\"", page)
    assert re.search(r'class="admonition-title">Note</p>\s*<div class="cell"', page)
    assert "<p><div" not in page


def test_training_code_is_shown_without_output(root):
    assert "train" in render(root, "{* lora/train_small.py#train *}\n")


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("", "0.02753"),
        (":.1%", "2.8%"),
        (":%", "2.75%"),
        (":.3f", "0.028"),
    ],
)
def test_value_takes_a_format(root, form, shown):
    assert render(root, f"It is {{= lora/small.py#share{form} =}}.\n") == f"<p>It is {shown}.</p>"


def test_values_read_as_numbers_do():
    assert format_value("134515008", ",") == "134,515,008"
    assert format_value("134515008", ".2亿") == "1.35 亿"
    assert format_value("134515008", ".1M") == "134.5M"
    assert format_value("134515008", ".0万") == "13452 万"
    assert format_value("27.5%", ".1%") == "27.5%"
    assert format_value("-0.5", ".1f") == "−0.5"
    assert format_value("0.00002", ".0e") == "2×10⁻⁵"
    assert format_value("7", ".1f") == "7.0"


def test_values_stand_in_headings_tables_lists_and_bold(root):
    value = "{= lora/small.py#parameters:, =}"
    page = render(root, f"# Of {value} {{#of}}\n\n| a |\n| --- |\n| {value} |\n\n- {value}\n- **{value}**\n")
    assert '<h1 id="of">Of 134,515,008</h1>' in page
    assert "<td>134,515,008</td>" in page
    assert "<li>134,515,008</li>" in page
    assert "<strong>134,515,008</strong>" in page


def test_text_of_a_value_is_no_markup(root):
    assert "smol&lt;lm&gt;" in render(root, "{= lora/small.py#model =} it is\n")


def test_run_time_is_the_sum_of_the_scripts_of_the_page(root):
    text = "Takes {= time =}.\n\n{* lora/small.py#silent *}\n"
    assert "Takes under 10 s." in render(root, text)
    assert "10 秒以内" in render(root, text.replace("Takes", "需要"), "zh")
    scripts = page_scripts(root, text) * 7
    assert (run_time(scripts, "en"), run_time(scripts, "zh")) == ("under 2 min", "2 分钟以内")


def test_code_and_comments_keep_their_braces_and_dollars(root):
    page = render(
        root, "`{= a#b =}` and `$x$`\n\n```text\n{* a#b *}\n$HOME\n```\n\n<!-- {* a#b *} $ -->\n\nIt costs \\$5.\n"
    )
    assert "<code>{= a#b =}</code> and <code>$x$</code>" in page
    assert "{* a#b *}\n$HOME" in page
    assert "It costs $5." in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{* lora/smal.py#share *}", "no script snippets/lora/smal.py; did you mean 'lora/small.py'?"),
        ("{* lora/../small.py#share *}", "no script"),
        ("{* lora/small.py#shares *}", "no cell 'shares'; did you mean 'share'?"),
        ("{* lora/small.py#setup *}", "cell 'setup' is for the script and the notebook"),
        ("{* lora/small.py#rates *}", "cell 'rates' is for the script and the notebook"),
        ('{* lora/small.py#silent caption="x" *}', "shows no output; caption says nothing"),
        ("{* lora/small.py *}", "a cell reads"),
        ("{* lora/small.py#plot *}", 'draws a figure; it needs alt="…"'),
        ('{* lora/small.py#share alt="x" *}', "draws no figure; alt says nothing"),
        ("{* lora/small.py#share output=none *}", "output=none: must be only or hide"),
        ("{* lora/small.py#share outptu=only *}", "unknown option 'outptu'; did you mean 'output'?"),
        ("{* lora/small.py#share fold *}", "cannot read 'fold'"),
        ("{* lora/small.py#silent output=only *}", "printed and drew nothing"),
        ("{* lora/train_small.py#train output=only *}", "long run"),
        ("{= lora/small.py#shore =}", "prints no value 'shore'; did you mean 'share'?"),
        ("{= lora/small.py#model:.1f =}", "is not a number"),
        ("{= lora/small.py#share:.1z =}", "format '.1z'"),
        ("{= lora/small.py#twice =}", "printed by cells again and once_more"),
        ("{= lora/train_small.py#loss =}", "is a long run"),
        ("{= share =}", "a value reads"),
        ("Takes {= time =}", "the page shows no script"),
        ("{= lora/small.py#share", "cannot read '{= lora/small.py#share'"),
        ("See {* lora/small.py#share *} here.", "on a line of their own"),
        ("[@hu2021lore]", "has no 'hu2021lore'; did you mean 'hu2021lora'?"),
        ("Only [@hu2021lora", "cannot read '[@hu2021lora'"),
        ("{! lora/exercises/merg.py !}", "did you mean 'lora/exercises/merge.py'?"),
        ("$\\frac{1}$", "formula"),
        ("one $ alone", "write \\$ for a dollar sign"),
    ],
)
def test_what_is_unknown_stops_the_build_with_file_and_line(root, line, message):
    with pytest.raises(SiteError) as error:
        render(root, f"# Page\n\nText.\n\n{line}\n\nMore.\n", "zh")
    assert str(error.value).startswith("docs/zh/lora/page.md:5: ")
    assert message in str(error.value)


def test_line_counts_from_the_top_of_the_file_front_matter_included(root):
    (root / "docs/zh").mkdir(parents=True)
    body = "# Page\n\n{= nothing =}\n"
    with pytest.raises(SiteError, match=r"^docs/zh/page.md:6: "):
        _render_with_front_matter(root, body)


def _render_with_front_matter(root: Path, body: str) -> None:
    (root / "docs/zh/page.md").write_text(f"---\ntitle: x\n---\n{body}", encoding="utf-8")
    markdown.markdown(
        body, extensions=["tutorial_site.extension"], extension_configs={"tutorial_site.extension": {"root": str(root)}}
    )


def test_changed_script_asks_for_a_new_recording(root):
    path = root / "snippets/lora/small.py"
    path.write_text(path.read_text() + "z = 3\n")
    with pytest.raises(SiteError, match="changed since it was recorded; run: python -m tutorial_site record"):
        render(root, "{* lora/small.py#share *}\n")
