"""Do two figures show the same? Their curves in the units of their axes, their words, their pixels.

Matplotlib's SVG keeps its parts in named groups. The labelled ticks of an axis say what a place on it
means, linearly or logarithmically, so curves are compared as data and not as ink: limits that follow
the data hide nothing, and limits that moved a little make no difference. Where labels are no numbers
(bars with names), places are shares of the axis. Of another program's SVG, paths are compared as ink.
"""

import base64
import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

LOOSE = 0.05  # of an axis: how far a point may move in any case
DARKER = 0.25  # of all shades: how much a spot of a picture may change
SPOTS = (32, 32)  # into so many spots a picture is cut
HREF = "{http://www.w3.org/1999/xlink}href"
COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
POWER = re.compile(r"(?:(?P<factor>[\d.]+)\s*\\times\s*)?10\^\{(?P<power>-?\d+)\}")

Point = tuple[float, float]
Line = list[Point]


@dataclass(frozen=True)
class Axis:
    """What a place on an axis means: ``slope * place + offset``; on a logarithmic one, its power of ten."""

    kind: str  # "linear", "logarithmic" or "named"
    slope: float
    offset: float

    def __call__(self, place: float) -> float:
        return self.slope * place + self.offset

    def reach(self, value: float, tolerance: float) -> float:
        """How far a relative difference moves a value."""
        return math.log10(1 + tolerance) if self.kind == "logarithmic" else tolerance * abs(value)

    def shown(self, value: float) -> str:
        """A value for a message."""
        return f"{10**value if self.kind == 'logarithmic' else value:.3g}"


@dataclass
class Panel:
    """What stands between two axes: curves and shapes by name, in the units of the axes; pictures as PNG."""

    axes: tuple[Axis, Axis]
    corners: tuple[Point, Point]
    marks: dict[str, list[Line]] = field(default_factory=dict)
    pictures: list[bytes] = field(default_factory=list)


@dataclass
class Drawing:
    """A figure: its panels, and its words in the order of drawing, without the numbers along its axes."""

    panels: list[Panel]
    words: list[str]


def read(svg: str) -> Drawing:
    """Reads an SVG."""
    root = ET.fromstring(svg, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    defined = {element.get("id"): element for element in root.iter() if _tag(element) in ("path", "clipPath")}
    panels, numbered = [], set[ET.Element]()
    for group in root.iter():
        if _id(group).startswith("axes_"):
            panel, numbers = _panel(group, defined)
            panels.append(panel)
            numbered |= numbers
    if not panels:  # not matplotlib's
        [*_, width, height] = [0.0, 0.0, *map(float, NUMBER.findall(root.get("viewBox", "0 0 100 100")))]
        axes = (Axis("named", 1 / (width or 1), 0), Axis("named", 1 / (height or 1), 0))
        panels = [_fill(Panel(axes, ((0, 0), (width, height))), [root], defined)]
        return Drawing(panels, [" ".join(element.itertext()) for element in root.iter() if _tag(element) == "text"])
    words = [_label(group) for group in root.iter() if _id(group).startswith("text_") and group not in numbered]
    return Drawing(panels, words)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _id(element: ET.Element) -> str:
    return (element.get("id") or "") if _tag(element) == "g" else ""


def _label(group: ET.Element) -> str:
    """The words of a text; of a formula its TeX, which matplotlib leaves as a comment."""
    tex = next((element.text for element in group.iter() if not isinstance(element.tag, str)), None)
    text = tex or " ".join("".join(element.itertext()) for element in group.iter() if _tag(element) == "text")
    return " ".join(text.split())


def _panel(group: ET.Element, defined: dict[str | None, ET.Element]) -> tuple[Panel, set[ET.Element]]:
    """A panel, and the texts that are numbers along its axes."""
    corners = _corners(group, defined)
    axes, marks, numbers = [], {}, set[ET.Element]()
    for index, (name, low, high) in enumerate(zip("xy", *corners, strict=True)):
        ticks = [
            (places[0][index], text)
            for tick in group.iter()
            if _id(tick).startswith(f"{name}tick_")
            for text in tick.iter()
            if _id(text).startswith("text_") and _label(text)
            if (places := [point for line in _lines(tick, defined) for point in line])
        ]
        axis = _axis([(place, _label(text)) for place, text in ticks], low, high)
        axes.append(axis)
        if axis.kind == "named":
            marks[f"the names along {name}"] = [[(axis(place), 0.0) for place, _ in ticks]] if ticks else []
        else:
            numbers |= {text for _, text in ticks}
    panel = Panel((axes[0], axes[1]), corners)
    inside = [child for child in group if not _id(child).startswith(("matplotlib.axis", "legend", "text", "axes"))]
    return _fill(panel, inside, defined), numbers


def _corners(group: ET.Element, defined: dict[str | None, ET.Element]) -> tuple[Point, Point]:
    """Lower left and upper right of a panel: what its curves are clipped to, else all that it draws."""
    clips = (element.get("clip-path", "")[len("url(#") : -1] for element in group.iter())
    if (clip := next((defined[name] for name in clips if name in defined), None)) is not None:
        left, top, width, height = (float(clip[0].get(key, 0)) for key in ("x", "y", "width", "height"))
        return (left, top + height), (left + width, top)
    x, y = zip(*[point for line in _lines(group, defined) for point in line], strict=True)
    return (min(x), max(y)), (max(x), min(y))


def _axis(ticks: list[tuple[float, str]], low: float, high: float) -> Axis:
    """The axis on which all labels stand where they should."""
    numbered = [(place, number) for place, label in ticks if (number := _number(label)) is not None]
    kinds = ["linear", "logarithmic"]
    if any("10^{" in label for _, label in ticks):
        kinds.reverse()
    for kind in kinds:
        if len(numbered) < max(2, len(ticks)) or (kind == "logarithmic" and min(value for _, value in numbered) <= 0):
            continue
        points = sorted((place, math.log10(v) if kind == "logarithmic" else v) for place, v in numbered)
        (first, start), (last, end) = points[0], points[-1]
        if first == last or start == end:
            continue
        axis = Axis(kind, (end - start) / (last - first), start - first * (end - start) / (last - first))
        if all(abs(axis(place) - value) <= 0.01 * abs(end - start) for place, value in points):
            return axis
    return Axis("named", 1 / (high - low), -low / (high - low))


def _number(label: str) -> float | None:
    text = label.replace("−", "-").replace(",", "").rstrip(" %")
    if power := POWER.search(text):
        return float(power["factor"] or 1) * 10 ** int(power["power"])
    try:
        return float(text.removeprefix(r"$\mathdefault{").removesuffix("}$"))
    except ValueError:
        return None


def _fill(panel: Panel, elements: list[ET.Element], defined: dict[str | None, ET.Element]) -> Panel:
    """Adds the curves, shapes and pictures that stand in some elements; the lines around a panel are none."""
    left, right, down, up = (round(corner[index], 1) for index in (0, 1) for corner in panel.corners)
    frame = {(x, y) for x in (left, right) for y in (down, up)}
    for number, element in enumerate(elements):
        lines = [
            line
            for line in _lines(element, defined)
            if line and not {(round(x, 1), round(y, 1)) for x, y in line} <= frame
        ]
        if lines:
            name = f"{re.sub(r'_?[0-9]+$', '', _id(element)) or 'shape'} no. {number}"
            panel.marks[name] = [[(panel.axes[0](x), panel.axes[1](y)) for x, y in line] for line in lines]
        for image in element.iter():
            if _tag(image) == "image" and (source := image.get(HREF) or image.get("href") or "").startswith("data:"):
                panel.pictures.append(base64.b64decode(source.partition(",")[2]))
    return panel


def _lines(group: ET.Element, defined: dict[str | None, ET.Element]) -> Iterator[Line]:
    """The lines that a group draws, in the places of the SVG: paths, polygons, and markers where they are used."""
    for element in group.iter():
        match _tag(element):
            case "path" if not element.get("id"):
                yield from _path(element.get("d", ""))
            case "polyline" | "polygon":
                numbers = [float(number) for number in NUMBER.findall(element.get("points", ""))]
                yield list(zip(numbers[::2], numbers[1::2], strict=False))
            case "use" if (
                path := defined.get((element.get(HREF) or element.get("href") or "").lstrip("#"))
            ) is not None:
                right, down = float(element.get("x", 0)), float(element.get("y", 0))
                for line in _path(path.get("d", "")):
                    yield [(x + right, y + down) for x, y in line]


def _path(commands: str) -> list[Line]:
    """The corners of a path, and of curves the points that they lean on."""
    lines: list[Line] = []
    for command, text in COMMAND.findall(commands):
        numbers = [float(number) for number in NUMBER.findall(text)]
        points = list(zip(numbers[::2], numbers[1::2], strict=False))
        if command in "Mm" or not lines:
            lines.append([])
        lines[-1] += lines[-1][:1] if command in "Zz" else points
    return lines


def differences(was: Drawing, now: Drawing, tolerance: float = 0) -> Iterator[str]:
    """Where two drawings differ, but for their words.

    Args:
        was: As recorded.
        now: As drawn again.
        tolerance: Relative difference that its numbers may have, beside `LOOSE` of an axis.
    """
    if len(was.panels) != len(now.panels):
        yield f"draws {len(now.panels)} panels; recorded: {len(was.panels)}"
        return
    for number, (one, other) in enumerate(zip(was.panels, now.panels, strict=True), 1):
        for difference in _moved(one, other, tolerance):
            yield f"panel {number}: {difference}"


def _moved(was: Panel, now: Panel, tolerance: float) -> Iterator[str]:
    for name, one, other in zip("xy", was.axes, now.axes, strict=True):
        if one.kind != other.kind:
            yield f"its {name} axis is {other.kind}; recorded: {one.kind}"
            return
    if list(was.marks) != list(now.marks):
        yield f"draws {', '.join(now.marks) or 'nothing'}; recorded: {', '.join(was.marks) or 'nothing'}"
        return
    extent = [abs(axis(high) - axis(low)) for axis, low, high in zip(was.axes, *was.corners, strict=True)]

    def astray(lines: list[Line], others: list[Line]) -> Point | None:
        """A point of some lines that lies on none of the others."""
        for point in (point for line in lines for point in line):
            reach = [
                LOOSE * whole + axis.reach(value, tolerance)
                for axis, whole, value in zip(was.axes, extent, point, strict=True)
            ]
            if not any(_on(point, reach, line) for line in others):
                return point
        return None

    for name, lines in was.marks.items():
        if lines == now.marks[name]:
            continue
        for point, how in ((astray(lines, now.marks[name]), "no longer"), (astray(now.marks[name], lines), "now")):
            if point:
                place = ", ".join(axis.shown(value) for axis, value in zip(was.axes, point, strict=True))
                yield f"{name} is {how} at ({place})"
                break
    if len(was.pictures) != len(now.pictures):
        yield f"shows {len(now.pictures)} pictures; recorded: {len(was.pictures)}"
        return
    for one_png, other_png in zip(was.pictures, now.pictures, strict=True):
        yield from pictures(one_png, other_png, tolerance)
    if was.pictures and any(
        abs(axis(place) - other(there)) > (LOOSE + tolerance) * whole
        for corner, corner_now in zip(was.corners, now.corners, strict=True)
        for axis, other, whole, place, there in zip(was.axes, now.axes, extent, corner, corner_now, strict=True)
    ):
        yield "its picture has another extent"


def _on(point: Point, reach: list[float], line: Line) -> bool:
    """Whether a line passes the box around a point."""
    for start, end in pairwise(line) if len(line) > 1 else [(line[0], line[0])]:
        first, last = 0.0, 1.0  # the part of the segment that is inside
        for at, near, a, b in zip(point, reach, start, end, strict=True):
            if a == b:
                if abs(at - a) > near:
                    last = -1.0
            else:
                enters, leaves = sorted(((at - near - a) / (b - a), (at + near - a) / (b - a)))
                first, last = max(first, enters), min(last, leaves)
        if first <= last:
            return True
    return False


def pictures(was: bytes, now: bytes, tolerance: float = 0) -> Iterator[str]:
    """Whether two PNGs differ in some spot by more than `DARKER`."""
    from PIL import Image, ImageChops  # with matplotlib; who only builds the site has neither

    def read_picture(data: bytes) -> Image.Image:
        picture = Image.open(io.BytesIO(data)).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")

    one, other = read_picture(was), read_picture(now)
    spots = [picture.resize(SPOTS, Image.Resampling.BOX) for picture in (one, other.resize(one.size, 0))]
    change = max(ImageChops.difference(*spots).tobytes()) / 255
    if change > DARKER + tolerance:
        yield f"a picture has a spot of another shade, by {change:.0%} of the scale"
