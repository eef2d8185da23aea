"""One quiet style for every figure: readable on a light and on a dark page, and without seeing colours.

Figures are SVG on a transparent ground. Text and axes are of a grey that contrasts with white and with
slate alike; lines take Okabe and Ito's colours, the orange and the sky blue darkened until they read on
white, each with a marker of its own.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY = "#757d88"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#bd8300", "#2f97d6")
MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[str, Any] = {
    "axes.edgecolor": GREY,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.prop_cycle": cycler(color=COLOURS, marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "figure.figsize": (6.4, 3.2),
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "llm-tutorial",
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def use_style() -> None:
    """Makes the tutorial's style that of every figure drawn from now on.

    Example:
        >>> use_style()
        >>> mpl.rcParams["axes.grid"]
        True
    """
    mpl.rcParams.update(STYLE)  # type: ignore[arg-type]


def panels(columns: int = 1, rows: int = 1, height: float = 3.0, **kwargs: Any) -> tuple[Figure, Sequence[Axes]]:
    """A figure of panels side by side, 6.4 inches wide at least, and its axes as a flat list.

    Args:
        columns: Panels in a row.
        rows: Rows.
        height: Of a row, in inches.
        kwargs: For ``plt.subplots``.

    Example:
        >>> use_style()
        >>> figure, (left, right) = panels(2)
        >>> plt.close(figure)
    """
    figure, axes = plt.subplots(
        rows, columns, figsize=(max(6.4, 2.9 * columns), height * rows), squeeze=False, **kwargs
    )
    return figure, list(axes.flat)


def spread(axes: Axes, x: Sequence[float], runs: Sequence[Sequence[float]], label: str = "", **kwargs: Any) -> None:
    """A line through the mean of several seeds, in a band from the lowest to the highest.

    Args:
        axes: Where to draw.
        x: One place for each column of ``runs``.
        runs: One row a seed.
        label: In the legend.
        kwargs: For ``Axes.plot``.
    """
    columns = list(zip(*runs, strict=True))
    (line,) = axes.plot(x, [sum(column) / len(column) for column in columns], label=label, **kwargs)
    axes.fill_between(x, [min(c) for c in columns], [max(c) for c in columns], color=line.get_color(), alpha=0.2, lw=0)
