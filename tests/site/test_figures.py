"""Figures on pages: words in the page's language, ids of their own, panels apart, no legend over a curve."""

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixture import write

from tutorial_site import figures
from tutorial_site.figures import box, drawing, in_language, labels, message, problems, text_box, translate
from tutorial_site.repository import LANGUAGES

ROOT = Path(__file__).parents[2]
STAR = "<style>*{stroke-linejoin: round}</style>"


def svg(body: str, size: str = 'width="72pt" height="36pt" viewBox="0 0 72 36"') -> str:
    return (
        '<?xml version="1.0"?>\n<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" '
        f'{size}><defs>{STAR}</defs><g id="figure_1">{body}</g></svg>'
    )


def axes(number: int, left: float, top: float = 0, body: str = "") -> str:
    """Axes of 30 by 30 points, with a clipped line that leaves them."""
    frame = f"M {left} {top} L {left + 30} {top} L {left + 30} {top + 30} z"
    return (
        f'<g id="axes_{number}"><g id="patch_{number}"><path d="{frame}" style="fill: none"/></g>'
        f'<path d="M {left} {top} L {left + 500} {top + 9}" clip-path="url(#p{number})" style="stroke: #0072b2"/>{body}'
        f'<defs><clipPath id="p{number}"><rect x="{left}" y="{top}" width="30" height="30"/></clipPath></defs></g>'
    )


def recorded(languages: tuple[str, ...] = LANGUAGES) -> list:
    """Every recorded figure, in each language, named by script, cell and language."""
    found = []
    for notebook in sorted(ROOT.glob("snippets/*/*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            for language in languages:
                for output in in_language(cell.get("outputs", []), notebook.parent.name, language):
                    if figures.SVG in output.get("data", {}):
                        name = f"{notebook.stem}#{cell['id']}-{language}"
                        found.append(pytest.param("".join(output["data"][figures.SVG]), id=name))
    return found


# ---- words ----


def test_a_label_is_looked_up_without_its_numbers_and_shown_with_them():
    assert message("base 10,000, layer 18") == "base {}, layer {}"
    assert translate("base 10,000", {"base {}": "底数 {}"}) == "底数 10,000"


@pytest.mark.parametrize("label", ["0.5", "−1.0", "E = 32", "576 → 192", "q", "i − j", "W′", "10,000", "留出集"])
def test_numbers_symbols_and_chinese_need_no_translation(label):
    assert message(label) == ""


@pytest.mark.parametrize("label", ["rank r", "F1, validation", "q_proj", "MiB", "2 hops", "exact match (%)"])
def test_words_need_one(label):
    assert message(label)


def test_marked_tokens_and_formulas_are_no_labels():
    formula = "<g><text><tspan>r</tspan><tspan>a</tspan></text></g>"
    drawn = svg(f'<g id="verbatim"><text>The</text></g><g id="text_1"><text x="1">rank r</text></g>{formula}')
    assert labels(drawn) == ["rank r"]


def test_labels_come_in_the_language_of_the_page(monkeypatch):
    monkeypatch.setattr(
        figures, "catalogue", lambda chapter, language: {"cat & dog": "甲 & 乙"} if language == "zh" else {}
    )
    output = {"data": {figures.SVG: svg('<text>cat &amp; dog</text><g id="verbatim"><text>cat &amp; dog</text></g>')}}
    [zh], [en] = in_language([output], "lora", "zh"), in_language([output], "lora", "en")
    assert zh["data"][figures.SVG].count("甲 &amp; 乙") == 1
    assert zh["data"][figures.SVG].count("cat &amp; dog") == 1
    assert en == output


CATALOGUE = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "rank {}"\nmsgstr "秩 {}"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one recorded figure that says "rank 8"."""
    write(tmp_path, "snippets/lora/small.py", "# %% plot\nplot()\n")
    record(tmp_path, svg("<text>rank 8</text>"))
    write(tmp_path, "src/tutorial_site/locale/zh/figures/lora.po", CATALOGUE)
    return tmp_path


def record(root: Path, drawn: str) -> None:
    outputs = [{"output_type": "display_data", "data": {figures.SVG: drawn}, "metadata": {}}]
    cell = {"cell_type": "code", "id": "plot", "outputs": outputs}
    write(root, "snippets/lora/small.ipynb", json.dumps({"cells": [cell], "metadata": {"tutorial": {}}}))


def test_a_figure_whose_labels_are_translated_is_no_problem(root):
    assert list(problems(root)) == []


def test_a_label_without_translation_is_named_with_its_cell(root):
    record(root, svg("<text>rank 8</text><text>learning rate</text>"))
    [problem] = problems(root)
    assert "small.py:1: cell 'plot': no Chinese text for the label 'learning rate'" in problem


def test_a_translation_that_no_figure_says_is_stale(root):
    record(root, svg("<text>8</text>"))
    [problem] = problems(root)
    assert "lora.po: translates 'rank {}', which no figure says" in problem


def test_a_translation_that_loses_a_number_is_refused(root):
    write(root, "src/tutorial_site/locale/zh/figures/lora.po", CATALOGUE.replace("秩 {}", "秩"))
    [problem] = problems(root)
    assert "'秩' has other numbers than 'rank {}'" in problem


def test_words_inside_a_formula_are_refused(root):
    record(root, svg("<text>rank 8</text><!-- $W$ frozen --><g><text><tspan>W</tspan></text></g>"))
    [problem] = problems(root)
    assert "'$W$ frozen' mixes words with a formula" in problem


# ---- pictures ----


def test_a_figure_is_inline_svg_with_its_alt_text_outside_the_search():
    page = drawing(svg("<text>a</text>"), 'Share <b> "x"')
    assert page.startswith(
        '<div class="drawing" role="img" aria-label="Share &lt;b&gt; &quot;x&quot;" data-search-exclude>'
    )
    assert '<svg viewBox="0.00 0.00 72.00 36.00" width="96" height="48"' in page
    assert "<style" not in page
    assert "xmlns" not in page


def test_ids_of_two_figures_differ_and_their_references_follow():
    one, other = (drawing(svg(axes(1, 0, body=f"<text>{text}</text>")), "x") for text in "ab")
    ids = [set(re.findall(r' id="([^"]*)"', page)) for page in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for page, names in zip((one, other), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]*)\)", page)) == names


def test_grey_and_black_take_the_colour_of_the_page_and_coloured_words_are_darkened():
    text = '<text style="fill: #757d88">a</text><text style="fill: #0072b2">b</text>'
    page = drawing(svg(f'{text}<path d="M 0 0 L 1 1" style="stroke: #000000"/>'), "x")
    assert '<text style="fill:currentColor">a</text>' in page
    assert "fill:color-mix(in srgb, #0072b2 var(--drawing-word), black)" in page
    assert "stroke:var(--md-default-fg-color)" in page


def test_letters_of_a_formula_are_those_of_the_formulas_on_the_page():
    style = "font-style: italic; font-size: 10px; font-family: 'STIXGeneral'"
    page = drawing(svg(f'<text><tspan x="0" style="{style}">W</tspan></text>'), "x")
    assert '<tspan x="0" class="math" style="font-size:10px">𝑊</tspan>' in page


def test_each_panel_is_an_svg_of_its_own_with_its_extent():
    page = drawing(svg(axes(1, 10) + axes(2, 60), 'width="100pt" height="40pt" viewBox="0 0 100 40"'), "x")
    assert re.findall(r'viewBox="([^"]*)"', page) == ["10.00 0.00 30.00 30.00", "60.00 0.00 30.00 30.00"]
    assert page.count("<div>") == 1


def test_rows_of_panels_stand_one_above_another_and_each_name_of_a_common_legend_apart():
    names = "".join(
        f'<g id="text_{x}"><text x="{x}" y="-20">{name}</text></g>' for x, name in ((5, "window"), (50, "entity"))
    )
    legend = f'<g id="legend_1">{names}</g>'
    page = drawing(svg(axes(1, 10) + axes(2, 60) + axes(3, 10, 50) + axes(4, 60, 50) + legend), "x")
    rows = re.findall(r"<div( class=.legend.)?>(.*?)</div>", page)
    assert [row.count("<svg") for _, row in rows] == [2, 2, 2]
    assert [bool(legend) for legend, _ in rows] == [True, False, False]
    assert re.findall(r">(\w+)</text>", rows[0][1]) == ["window", "entity"]


def test_a_colour_bar_belongs_to_the_axes_beside_it():
    bar = '<g id="axes_2"><path d="M 44 0 L 47 0 L 47 30" style="stroke: #000000"/></g>'
    assert drawing(svg(axes(1, 10) + bar), "x").count("<svg") == 1


def test_pictures_are_marked_so_that_a_dark_page_leaves_their_colours_alone():
    assert 'class="pictures"' in drawing(svg('<g id="pictures"><text>a</text></g>'), "x")


def test_a_foreign_svg_is_inline_as_well_but_its_style_stays_out():
    foreign = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40"><style>*{stroke: red}</style><path d="M 0 0 L 1 1"/></svg>'
    page = drawing(foreign, "x")
    assert "red" not in page
    assert '<path d="M 0 0 L 1 1" />' in page


# ---- every figure of this tutorial ----


def parts(drawn: str) -> list[ElementTree.Element]:
    """The panels of a figure, as the page has them."""
    return list(ElementTree.fromstring(drawing(drawn, "x").replace(" data-search-exclude", "")).iter("svg"))


def overlap(one: figures.Box, other: figures.Box) -> tuple[float, float]:
    return min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])


def texts(panel: ElementTree.Element) -> list[tuple[str, figures.Box]]:
    found = [(text.text, text_box(text)) for text in panel.iter("text") if text.text and "transform" not in text.attrib]
    return [(text, extent) for text, extent in found if text.strip()]


@pytest.mark.parametrize("drawn", recorded())
def test_labels_do_not_collide_and_are_not_cut(drawn):
    for panel in parts(drawn):
        left, _, width, _ = map(float, panel.attrib["viewBox"].split())
        found = texts(panel)
        for index, (text, extent) in enumerate(found):
            assert left - 12 < extent[0] < extent[2] < left + width + 12, f"{text!r} is cut"
            for other, place in found[index + 1 :]:
                across, down = overlap(extent, place)
                assert across < 6 or down < 4, f"{text!r} lies over {other!r}"


def points(line: ElementTree.Element) -> list[tuple[float, float]]:
    """Points along the path of a line, closely."""
    numbers = [float(number) for number in figures.NUMBERS.findall(line.get("d", ""))]
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    steps = [step / 20 for step in range(21)]
    return [(a + s * (c - a), b + s * (d - b)) for (a, b), (c, d) in pairwise(corners) for s in steps]


def legends(drawn: str) -> list[tuple[ElementTree.Element, ElementTree.Element]]:
    """Axes with their legend; names of a legend that is common to all panels stand apart on a page."""
    root = ElementTree.fromstring(re.sub(r' xmlns(:\w+)?="[^"]*"|xlink:', "", drawn[drawn.index("<svg") :]))
    every = [group for group in root.iter("g") if group.get("id", "").startswith("axes")]
    return [(axes, part) for axes in every for part in axes if part.get("id", "").startswith("legend")]


@pytest.mark.parametrize("drawn", recorded())
def test_names_in_a_legend_do_not_reach_the_next_line(drawn):
    for _, legend in legends(drawn):
        names = [text_box(text) for text in legend.iter("text") if text.text and text.text.strip()]
        lines = [box(part, {}) for part in legend if not part.get("id", "").startswith("text")]
        assert not [name for name in names for line in lines if min(overlap(name, line)) > 2]


@pytest.mark.parametrize("drawn", recorded(("en",)))
def test_no_legend_lies_over_a_curve(drawn):
    for axes, legend in legends(drawn):
        left, top, right, bottom = box(legend, {})
        drawings = [part for part in axes if part.get("id", "").startswith(("line2d", "patch", "FillBetween"))]
        places = [place for part in drawings for path in part.iter("path") for place in points(path)]
        assert not [(x, y) for x, y in places if left < x < right and top < y < bottom]


@pytest.mark.parametrize("drawn", recorded(("en",)))
def test_text_of_a_figure_is_text(drawn):
    assert "<text" in drawn or "<image" in drawn  # a figure may be pictures alone
    assert not re.search(r'id="(DejaVu|STIX|Cmr)', drawn)  # glyphs as paths
