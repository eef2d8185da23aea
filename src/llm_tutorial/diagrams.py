"""Drawn diagrams of architectures: boxes, arrows, and the shapes that travel along them.

In the style of all figures: readable on a phone and on both grounds, each line of text a label that the page
translates. One unit is the height of a line of text, so that a box of two lines is two and a half units high.

Example:
    >>> diagram = Diagram(width=20, height=6)
    >>> x = diagram.text(2, 3, "input")
    >>> layer = diagram.box(9, 3, ["linear layer", "576 × 576"])
    >>> diagram.arrow(x, layer, "(batch, 576)")
    >>> plt.close(diagram.figure)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from llm_tutorial.plotting import GREY

UNIT = 0.19  # inches
Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """Something that arrows start and end at; an arrow meets the side that faces where it comes from."""

    x: float
    y: float
    width: float
    height: float

    def side(self, name: str) -> Point:
        """The middle of a side: "left", "right", "top" or "bottom"."""
        across = {"left": -0.5, "right": 0.5}.get(name, 0) * self.width
        return self.x + across, self.y + {"bottom": -0.5, "top": 0.5}.get(name, 0) * self.height

    def facing(self, other: "Node") -> Point:
        """The middle of the side that faces another node: straight if the two stand above one another."""
        beside = abs(other.x - self.x) - (self.width + other.width) / 2
        above = abs(other.y - self.y) - (self.height + other.height) / 2
        if above > beside:
            return self.side("top" if other.y > self.y else "bottom")
        return self.side("right" if other.x > self.x else "left")


class Diagram:
    """An empty sheet; the origin is bottom left.

    Args:
        width: Width in units; 24 fill a phone.
        height: Height in units.
    """

    def __init__(self, width: float = 24, height: float = 12) -> None:
        self.figure, self.axes = plt.subplots(figsize=(UNIT * width, UNIT * height), layout="none")
        self.axes.set_position((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")

    def text(self, x: float, y: float, lines: str | Sequence[str], **kwargs: Any) -> Node:
        """Lines of text around a point; a formula is a line of its own, and so are shapes.

        Args:
            x: Place of its middle, from the left.
            y: Place of its middle, from below.
            lines: One line or several.
            kwargs: Passed on to ``Axes.text``.
        """
        lines = [lines] if isinstance(lines, str) else lines
        style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 10} | kwargs
        for place, line in enumerate(lines):
            height = y + (len(lines) - 1) / 2 - place
            self.axes.text(x, height, line, **style)
        return Node(x, y, 0.55 * max(map(len, lines)), len(lines))

    def box(
        self, x: float, y: float, lines: str | Sequence[str], width: float = 6, height: float = 0, colour: str = GREY
    ) -> Node:
        """A box around lines of text.

        Args:
            x: Place of its middle, from the left.
            y: Place of its middle, from below.
            lines: One line or several.
            width: Width in units.
            height: Height in units; by default what the lines need.
            colour: Colour of its edge and, lightly, of its ground.
        """
        lines = [lines] if isinstance(lines, str) else lines
        height = height or len(lines) + 0.7
        shape = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            "round,pad=0,rounding_size=0.25",
            facecolor=(colour, 0.12),
            edgecolor=colour,
            linewidth=1.2,
        )
        self.axes.add_patch(shape)
        self.text(x, y, lines)
        return Node(x, y, width, height)

    def arrow(
        self, start: Node | Point, end: Node | Point, label: str = "", via: Sequence[Point] = (), **kwargs: Any
    ) -> None:
        """An arrow from side to side, or along corners.

        Args:
            start: A node, or a point.
            end: A node, or a point.
            label: Words beside the middle of its first stretch: above it, or right of it.
            via: Corners on the way.
            kwargs: Passed on to ``Axes.plot``, such as ``color``.
        """
        nodes = [Node(*place, 0, 0) if isinstance(place, tuple) else place for place in (start, *via, end)]
        points = [nodes[0].facing(nodes[1]), *via, nodes[-1].facing(nodes[-2])]
        style: dict[str, Any] = {"color": GREY, "lw": 1.2, "marker": "", "solid_joinstyle": "round"} | kwargs
        self.axes.plot(*zip(*points, strict=True), **style)
        arrow = {"arrowstyle": "-|>", "color": style["color"], "lw": style["lw"], "shrinkA": 0, "shrinkB": 0}
        self.axes.annotate("", points[-1], points[-2], arrowprops=arrow)
        if label:
            (x, y), (to_x, to_y) = points[:2]
            flat = abs(to_x - x) > abs(to_y - y)
            middle = ((x + to_x) / 2, (y + to_y) / 2)
            self.axes.text(
                middle[0] + (0 if flat else 0.4),
                middle[1] + (0.4 if flat else 0),
                label,
                ha="center" if flat else "left",
                va="bottom" if flat else "center_baseline",
                fontsize=9,
            )
