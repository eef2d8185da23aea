"""The style of figures: readable on a light and on a dark page, and the same bytes at every run."""

import io
import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np

from llm_tutorial.diagrams import Diagram
from llm_tutorial.plotting import (
    COLOURS,
    GREY,
    MARKERS,
    STYLE,
    bars,
    heatmap,
    image_grid,
    label_lines,
    legend,
    panels,
    spread,
    use_style,
    verbatim,
)
from tutorial_site.figures import INK

ASSETS = Path(__file__).parents[1] / "docs/zh/assets"
SCHEMES = re.findall(  # of the pages: name, what their style sheet says
    r'\[data-md-color-scheme="(default|slate)"\] \{(.*?)\}', (ASSETS / "tutorial.css").read_text("utf-8"), re.DOTALL
)
SCHEMES = {name: dict(re.findall(r"--(\S+): (#\w{6});", rules)) for name, rules in SCHEMES if "bg-color" in rules}
PAGES = {name: colours["md-default-bg-color"] for name, colours in SCHEMES.items()}
FIGURES = (ASSETS / "figures.css").read_text("utf-8")
WORD = float(re.search(r"--drawing-word: (\d+)%", FIGURES)[1]) / 100  # of a colour in words on a light page
LIGHTER = float(re.search(r"brightness\(([\d.]+)\)", FIGURES)[1])  # on a dark one


@pytest.fixture(autouse=True)
def _the_style():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def svg() -> str:
    """A figure with everything that the pages draw."""
    _, (left, right) = panels(2)
    spread(left, [1, 2, 4], [[1, 2, 3], [3, 2, 5]], label="mean")
    right.plot([1, 2], [3, 4], label="line")
    right.set(xlabel="rank r", title="title")
    right.legend()
    file = io.StringIO()
    plt.savefig(file, format="svg", metadata={"Date": None})
    plt.close("all")
    return file.getvalue()


def times(colour: str, factor: float) -> str:
    """A colour mixed with black, or brightened, as browsers do it."""
    return "#" + "".join(f"{min(255, round(int(colour[i : i + 2], 16) * factor)):02x}" for i in (1, 3, 5))


def test_both_schemes_are_read():
    assert PAGES.keys() == {"default", "slate"}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_a_line_has_the_contrast_that_graphics_need_on_both_pages_as_it_is_recorded(colour, page):
    assert contrast(colour, page) >= 3


@pytest.mark.parametrize("colour", COLOURS)
def test_a_coloured_word_has_the_contrast_of_text_on_both_pages(colour):
    assert contrast(times(colour, WORD), PAGES["default"]) >= 4.5
    assert contrast(times(colour, LIGHTER), PAGES["slate"]) >= 4.5


def test_text_has_the_contrast_of_text_on_both_pages():
    ink = {name: colours["md-default-fg-color--light"] for name, colours in SCHEMES.items()}
    assert "color: var(--md-default-fg-color--light)" in FIGURES
    assert contrast(ink["default"], PAGES["default"]) >= 4.5
    assert contrast(times(ink["slate"], LIGHTER), PAGES["slate"]) >= 4.5


def test_the_grey_is_the_one_that_pages_replace():
    assert GREY in INK


def test_no_two_lines_share_colour_or_marker():
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(COLOURS) == len(MARKERS)


def test_the_ground_is_transparent():
    drawn = svg()
    assert "fill: #ffffff" not in drawn
    assert "fill: #000000" not in drawn
    assert {STYLE[f"{part}.facecolor"] for part in ("figure", "axes", "savefig")} == {"none"}


def test_text_stays_text():
    assert re.search(r"<text[^>]*>rank r</text>", svg())


def test_the_same_figure_gives_the_same_bytes():
    assert svg() == svg()


def test_a_band_reaches_from_the_lowest_to_the_highest_seed():
    _, (axes,) = panels()
    spread(axes, [1, 2], [[1.0, 4.0], [3.0, 2.0]])
    (line,), (band,) = axes.lines, axes.collections
    assert list(line.get_ydata()) == [2, 3]
    box = band.get_datalim(axes.transData)
    assert (box.ymin, box.ymax) == (1, 4)


def test_runs_of_different_lengths_are_refused():
    _, (axes,) = panels()
    with pytest.raises(ValueError, match="zip"):
        spread(axes, [1, 2], [[1.0, 4.0], [3.0]])


def test_panels_come_as_a_flat_list_row_by_row():
    figure, axes = panels(2, 3, height=3)
    assert len(axes) == 6
    assert axes[1].get_subplotspec().colspan.start == 1
    assert tuple(figure.get_size_inches()) == (6.4, 9.0)


def test_panels_keep_the_numbers_at_their_axes_when_they_share_them():
    figure, (_, right) = panels(2, sharey=True)
    figure.draw_without_rendering()
    assert any(label.get_text() and label.get_visible() for label in right.get_yticklabels())


def test_labels_of_lines_stand_at_their_ends_and_apart():
    figure, (axes,) = panels()
    for height in (1.0, 1.01, 3.0):
        axes.plot([0, 1], [0, height], label=f"line {height}")
    axes.plot([0, 1], [0, 2])
    label_lines(axes)
    assert [text.get_text() for text in axes.texts] == ["line 1.0", "line 1.01", "line 3.0"]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(upper.y0 > lower.y1 - 1 for lower, upper in pairwise(boxes))
    assert all(box.x0 > axes.transData.transform((1, 0))[0] for box in boxes)
    assert all(box.x1 < figure.bbox.x1 for box in boxes)


def test_a_legend_of_one_panel_stands_above_its_axes():
    figure, (axes, _) = panels(2)
    axes.plot([0, 1], [0, 1], label="loss")
    legend(axes)
    figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_one_legend_stands_above_all_panels():
    figure, (left, right) = panels(2)
    left.plot([0, 1], [0, 1], label="loss")
    right.plot([0, 1], [0, 1], label="loss")
    legend(figure)
    figure.draw_without_rendering()
    [common] = figure.legends
    assert common.get_window_extent().y0 >= max(left.get_window_extent().y1, right.get_window_extent().y1)
    assert [text.get_text() for text in common.get_texts()] == ["loss"]


def test_a_bar_is_the_mean_of_its_seeds_and_says_so():
    _, (axes,) = panels()
    bars(axes, ["dense", "sparse"], {"one": [[1.0, 3.0], [4.0]], "two": [[5.0], [6.0]]}, form=".1f")
    assert [bar.get_width() for bar in axes.patches] == [2.0, 4.0, 5.0, 6.0]
    assert [text.get_text() for text in axes.texts] == ["2.0", "4.0", "5.0", "6.0"]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["one", "two"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dense", "sparse"]


def test_a_heat_map_is_clear_where_values_are_lowest():
    _, (axes,) = panels()
    image = heatmap(axes, [[0, 1]])
    assert [image.cmap(image.norm(value))[3] for value in (0, 1)] == [0, 1]


def test_a_matrix_of_kinds_has_their_colours_and_none_for_kind_0():
    _, (axes,) = panels()
    image = heatmap(axes, [[0, 1], [2, 1]], colours=COLOURS[:2])
    drawn = [mpl.colors.to_hex(image.cmap(image.norm(kind)), keep_alpha=True) for kind in (0, 1, 2)]
    assert drawn == ["#00000000", f"{COLOURS[0]}ff", f"{COLOURS[1]}ff"]


def test_a_grid_shows_every_picture_pixel_for_pixel():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    figure = image_grid(pictures, ["before", "after"], ["1", "2", "3"])
    mosaic = figure.axes[0].images[0].get_array()
    assert mosaic.shape == (17, 26, 4)
    assert (mosaic[9:17, 18:26, :3] == pictures[1, 2]).all()
    assert (mosaic[8, :, 3] == 0).all()


def test_grey_pictures_from_0_to_1_are_shown_as_well():
    mosaic = image_grid(np.ones((1, 1, 8, 8))).axes[0].images[0].get_array()
    assert (mosaic == 255).all()


def test_pictures_of_another_shape_are_refused_in_both_languages():
    with pytest.raises(ValueError, match=r"\(8, 8\): expected[\s\S]*图像的形状"):
        image_grid(np.zeros((8, 8)))


def test_a_label_marked_as_data_is_marked_in_the_svg():
    _, (axes,) = panels()
    axes.set_xticks([0], ["door"])
    verbatim(axes.get_xticklabels())
    file = io.StringIO()
    plt.savefig(file, format="svg")
    assert re.search(r'<g id="verbatim">\s*<text[^>]*>door</text>', file.getvalue())


def test_arrows_of_a_diagram_meet_the_sides_that_face_each_other():
    diagram = Diagram(width=20, height=12)
    low, high, right = diagram.box(5, 2, "a"), diagram.box(5, 8, "b"), diagram.box(15, 2, "c")
    assert low.facing(high) == low.side("top") == (5, 2.85)
    assert low.facing(right) == low.side("right") == (8, 2)
    diagram.arrow(low, right, "n")
    assert list(diagram.axes.lines[0].get_xdata()) == [8, 12]
    assert [text.get_text() for text in diagram.axes.texts if text.get_text()] == ["a", "b", "c", "n"]


def test_lines_of_text_are_labels_of_their_own():
    diagram = Diagram()
    diagram.box(5, 5, ["W", "576 × 576"])
    assert [(text.get_text(), text.get_position()) for text in diagram.axes.texts] == [
        ("W", (5, 5.5)), ("576 × 576", (5, 4.5))
    ]  # fmt: skip
