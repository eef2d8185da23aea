r"""One quiet style for every figure: readable on a light and on a dark page, on a phone, and without seeing colours.

Figures are SVG on a transparent ground, their text stays text. Text and axes are of one grey, which a page
replaces by the colour of its own text; lines take Okabe and Ito's colours, darkened until they read on white,
each with a marker of its own. No legend lies over a curve: lines are named where they end (``label_lines``) or
above the axes (``legend``). Labels are English terms of the glossary, formulas a label of their own
(``$\alpha / r$``) or Unicode inside words (``rank r``): the site translates words, and leaves formulas alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import ArrayLike

GREY = "#757d88"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#c2609a", "#b57d00", "#8467d7")
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTHS = {1: 4.6, 2: 3.2, 3: 2.6}  # inches of a panel, by panels in a row: one fills a phone, two a page
NARROW = 2.0  # of four and more

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.prop_cycle": cycler(color=COLOURS, marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": 10.5,
    "axes.titlepad": 8,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.facecolor": "none",
    "figure.figsize": (4.6, 2.8),
    "font.family": "sans-serif",
    "font.size": 10.5,
    "grid.alpha": 0.22,
    "grid.color": GREY,
    "grid.linewidth": 0.6,
    "image.composite_image": False,
    "image.interpolation": "none",
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.labelcolor": GREY,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "mathtext.fontset": "stix",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "llm-tutorial",
    "text.color": GREY,
    "xtick.color": GREY,
    "xtick.labelsize": 9.5,
    "ytick.color": GREY,
    "ytick.labelsize": 9.5,
}
INK, PALE = (  # from nothing to blue; and to half of it, where values are written
    LinearSegmentedColormap.from_list("ink", [(COLOURS[0], 0.0), (COLOURS[0], full)]) for full in (1.0, 0.5)
)


def use_style() -> None:
    """Makes the tutorial's style that of every figure drawn from now on.

    Example:
        >>> use_style()
        >>> mpl.rcParams["axes.grid"]
        True
    """
    mpl.rcParams.update(STYLE)  # type: ignore[arg-type]


def panels(columns: int = 1, rows: int = 1, height: float = 2.8, **kwargs: Any) -> tuple[Figure, Sequence[Axes]]:
    """A figure of panels side by side, and its axes as a flat list; on a phone, a page puts them one below another.

    Each panel keeps the numbers at its axes, since it may come to stand alone: with ``sharey=True`` as well.

    Args:
        columns: Panels in a row.
        rows: Rows of panels.
        height: Height of a row, in inches.
        kwargs: Passed on to ``plt.subplots``.

    Example:
        >>> use_style()
        >>> figure, (left, right) = panels(2)
        >>> figure.get_size_inches().tolist()
        [6.4, 2.8]
        >>> plt.close(figure)
    """
    size = (columns * WIDTHS.get(columns, NARROW), height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **kwargs)
    for panel in axes.flat:
        panel.tick_params(labelleft=True, labelbottom=True)
    return figure, list(axes.flat)


def legend(where: Axes | Figure, **kwargs: Any) -> None:
    """Names the lines or patches above the axes, or once above all panels of a figure; never over a curve.

    What stands above the whole figure wraps on a phone.

    Args:
        where: A figure whose panels draw the same things, or axes.
        kwargs: Passed on to ``Axes.legend`` or ``Figure.legend``: ``ncols``, or ``handles``.

    Example:
        >>> figure, (axes,) = panels()
        >>> _ = axes.plot([1, 2], [3, 4], label="loss")
        >>> legend(axes)
        >>> plt.close(figure)
    """
    figure = where.get_figure(root=True)
    assert figure is not None
    if isinstance(where, Axes) and len(figure.axes) > 1:
        where.legend(**{"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3} | kwargs)
        return
    handles, labels = figure.axes[0].get_legend_handles_labels()
    names = {} if "handles" in kwargs else {"handles": handles, "labels": labels}
    figure.legend(**{"loc": "outside upper center", "ncols": 4} | names | kwargs)


def label_lines(axes: Axes, gap: float = 1.25) -> None:
    """Writes the label of each line beside its end, in its colour; labels that would meet move apart.

    Args:
        axes: Lines with a ``label``, drawn already, limits and scales set.
        gap: Least distance of two labels, in heights of the font.

    Example:
        >>> figure, (axes,) = panels()
        >>> _ = axes.plot([1, 2], [3, 4], label="loss")
        >>> label_lines(axes)
        >>> axes.texts[0].get_text()
        'loss'
        >>> plt.close(figure)
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # so that the axes have their height
    line_height = gap * mpl.rcParams["font.size"] / 72 * figure.dpi / axes.get_window_extent().height
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = [
        axes.transAxes.inverted().transform(axes.transData.transform(np.asarray(line.get_xydata())[-1]))
        for line in named
    ]
    order = sorted(range(len(named)), key=lambda index: ends[index][1])
    places = [min(max(ends[index][1], 0.0), 1.0) for index in order]
    for _ in range(100):  # push neighbours apart, each by half of what is missing
        for low in range(len(places) - 1):
            lack = line_height - (places[low + 1] - places[low])
            if lack > 1e-6:
                places[low] -= lack / 2
                places[low + 1] += lack / 2
    right = max((end[0] for end in ends), default=1.0)
    for place, index in zip(places, order, strict=True):
        axes.text(
            right + 0.025,
            place,
            str(named[index].get_label()),
            color=named[index].get_color(),
            transform=axes.transAxes,
            va="center",
        )


def spread(axes: Axes, x: Sequence[float], runs: Sequence[Sequence[float]], label: str = "", **kwargs: Any) -> None:
    """A line through the mean of several seeds, in a band from the lowest to the highest.

    Args:
        axes: Where to draw.
        x: One place for each column of ``runs``.
        runs: One row a seed.
        label: Name of the line.
        kwargs: Passed on to ``Axes.plot``.

    Example:
        >>> figure, (axes,) = panels()
        >>> spread(axes, [1, 2], [[3.0, 4.0], [5.0, 4.0]], "loss")
        >>> axes.lines[0].get_ydata().tolist()
        [4.0, 4.0]
        >>> plt.close(figure)
    """
    columns = list(zip(*runs, strict=True))
    (line,) = axes.plot(x, [sum(column) / len(column) for column in columns], label=label, **kwargs)
    axes.fill_between(x, [min(c) for c in columns], [max(c) for c in columns], color=line.get_color(), alpha=0.2, lw=0)


def bars(
    axes: Axes,
    names: Sequence[str],
    series: Mapping[str, Sequence[float] | Sequence[Sequence[float]]],
    form: str = ".0f",
) -> None:
    """Horizontal bars, from top to bottom, a group for each name; their values stand in a column on the right.

    Sets the height of the figure, which has these axes alone. Several values for one bar are its seeds: the bar
    is their mean, a thin line reaches from the lowest to the highest.

    Args:
        axes: Where to draw.
        names: Names of the groups.
        series: For each label, one value, or the values of all seeds, for each name. A single series needs no label.
        form: How a value is written.

    Example:
        >>> figure, (axes,) = panels()
        >>> bars(axes, ["dense", "sparse"], {"": [1.0, 2.5]}, form=".1f")
        >>> [text.get_text() for text in axes.texts]
        ['1.0', '2.5']
        >>> plt.close(figure)
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_figheight(0.75 + len(names) * (0.2 * len(series) + 0.12))
    height = 0.8 / len(series)
    for index, (label, values) in enumerate(series.items()):
        shift = height * (index - (len(series) - 1) / 2)
        for place, value in enumerate(values):
            seeds = np.atleast_1d(np.asarray(value, dtype=float))
            mean, low, high = seeds.mean(), seeds.min(), seeds.max()
            colour = COLOURS[index]
            style: dict[str, Any] = {"facecolor": (colour, 0.7), "edgecolor": colour, "linewidth": 1}
            axes.barh(place + shift, mean, 0.86 * height, label=label if place == 0 else "", **style)
            if len(seeds) > 1:
                axes.plot([low, high], [place + shift] * 2, color=GREY, marker="", lw=1.4, label="_")
            row: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline", "fontsize": 9}
            axes.text(1.02, place + shift, f"{mean:{form}}", **row)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    if any(series):
        legend(axes)


def heatmap(
    axes: Axes,
    values: ArrayLike,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    colours: Sequence[str] = (),
    form: str = "",
) -> AxesImage:
    """A matrix as colours on the ground of the page, which shows through where a value is lowest.

    Args:
        axes: Where to draw.
        values: A matrix, its first row on top.
        rows: Names of the rows, if any; tokens and data want ``verbatim(axes.get_yticklabels())``.
        columns: Names of the columns.
        limits: The values without colour and of full colour; by default the lowest and the highest.
        colours: For a matrix of kinds, the colours of kind 1, 2, …; kind 0 stays empty.
        form: How to write each value into its cell; nowhere when left out.

    Returns:
        The image, for a colour bar.

    Example:
        >>> figure, (axes,) = panels()
        >>> heatmap(axes, [[0.0, 1.0], [0.5, 0.2]], limits=(0, 1), form=".1f").get_array().shape
        (2, 2)
        >>> plt.close(figure)
    """
    matrix = np.asarray(values, dtype=float)
    colormap: Colormap = ListedColormap(["#00000000", *colours]) if colours else PALE if form else INK
    low, high = (0, len(colours)) if colours else limits or (matrix.min(), matrix.max())
    image = axes.imshow(
        matrix, colormap, vmin=low, vmax=high, aspect="auto" if matrix.shape[0] > 4 * matrix.shape[1] else None
    )
    if len(rows):
        axes.set_yticks(range(len(rows)), rows)
    if len(columns):
        axes.set_xticks(range(len(columns)), columns)
    axes.grid(visible=False)
    axes.tick_params(length=0 if len(rows) or len(columns) else 3)
    for (row, column), value in np.ndenumerate(matrix if form else np.empty((0, 0))):
        axes.text(column, row, f"{value:{form}}", ha="center", va="center_baseline", fontsize=9, color="black")
    return image


def image_grid(
    images: ArrayLike, row_labels: Sequence[str] = (), column_labels: Sequence[str] = (), size: float = 0.85
) -> Figure:
    """Pictures in rows and columns, with a name for each; the page's alt text says what they show.

    They are embedded as one PNG, pixel for pixel. Prompts and other data among the labels want ``verbatim``.

    Args:
        images: Array (rows, columns, height, width) or (rows, columns, height, width, 3) for colours; whole numbers
            from 0 to 255, or numbers from 0 to 1.
        row_labels: Labels left of the rows.
        column_labels: Labels above the columns.
        size: Width of a picture, in inches; a phone is 4.6 inches wide.

    Raises:
        ValueError: The array has another shape.

    Example:
        >>> figure = image_grid(np.zeros((2, 3, 8, 8)), ["before", "after"])
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['before', 'after']
        >>> plt.close(figure)
    """
    pixels = np.asarray(images)
    if pixels.ndim == 4:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    if pixels.ndim != 5 or pixels.shape[-1] != 3:
        raise ValueError(
            f"images of shape {pixels.shape}: expected (rows, columns, height, width) or (…, 3)\n"
            f"图像的形状是 {pixels.shape}：应当是（行，列，高，宽）或再加一维 3"
        )
    if pixels.dtype != np.uint8:
        pixels = (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    rows, columns, height, width, _ = pixels.shape
    gap = max(1, round(0.06 * width))
    mosaic = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)  # the ground: clear
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            mosaic[top : top + height, left : left + width, :3] = pixels[row, column]
            mosaic[top : top + height, left : left + width, 3] = 255
    figure, axes = plt.subplots(
        figsize=(size * columns + 0.9 * bool(len(row_labels)), size * rows * height / width + 0.3)
    )
    axes.set_gid("pictures")  # the page leaves their colours alone
    axes.imshow(mosaic)
    axes.set_yticks([row * (height + gap) + (height - 1) / 2 for row in range(len(row_labels))], row_labels)
    axes.set_xticks([column * (width + gap) + (width - 1) / 2 for column in range(len(column_labels))], column_labels)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure


def verbatim(texts: Iterable[Text]) -> None:
    """Marks labels that are data, such as tokens or prompts: a page shows them as they are, in every language.

    Args:
        texts: Labels, such as ``axes.get_xticklabels()``.

    Example:
        >>> figure, (axes,) = panels()
        >>> axes.set_xticks([0, 1], ["The", "door"])
        [...]
        >>> verbatim(axes.get_xticklabels())
        >>> plt.close(figure)
    """
    for text in texts:
        text.set_gid("verbatim")
