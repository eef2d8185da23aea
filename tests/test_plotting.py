"""The style of figures: readable on a light and on a dark page, and the same bytes at every run."""

import io
import re

import matplotlib as mpl
import pytest

mpl.use("svg")

import matplotlib.pyplot as plt

from llm_tutorial.plotting import COLOURS, GREY, MARKERS, STYLE, panels, spread, use_style

PAGES = {"white": "#ffffff", "slate": "#16191e"}


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


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_line_has_the_contrast_that_graphics_need_on_both_pages(colour, page):
    assert contrast(colour, PAGES[page]) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_text_is_as_far_from_white_as_from_slate(page):
    assert contrast(GREY, PAGES[page]) >= 4.1  # no single grey reaches 4.3 on both


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
    figure, axes = panels(2, 3)
    assert len(axes) == 6
    assert axes[1].get_subplotspec().colspan.start == 1
    assert tuple(figure.get_size_inches()) == (6.4, 9.0)
