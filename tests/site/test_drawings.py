"""Figures that a chapter shows, with one thing changed at a time."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tutorial_site import drawings
from tutorial_site.cells import Cell, Script
from tutorial_site.compare import compare

SNIPPETS = Path(__file__).parents[2] / "snippets"
SVG = "{http://www.w3.org/2000/svg}"
LINES, TIMES, BARS = "lora/sparse_entities#gates_compared", "lora/attention_cost#growth", "lora/efficiency_steps#steps"
MAPS = "lora/attention_maps#maps"


def recorded(name):
    script, _, wanted = name.partition("#")
    notebook = json.loads((SNIPPETS / f"{script}.ipynb").read_text(encoding="utf-8"))
    [cell] = [cell for cell in notebook["cells"] if cell["id"] == wanted]
    [svg] = [o["data"]["image/svg+xml"] for o in cell["outputs"] if "image/svg+xml" in o.get("data", {})]
    return "".join(svg)


def every_figure():
    for path in sorted(SNIPPETS.glob("*/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if any("image/svg+xml" in output.get("data", {}) for output in cell["outputs"]):
                yield f"{path.parent.name}/{path.stem}#{cell['id']}"


def differences(was, now, **header):
    def shown(svg):
        return [{"output_type": "display_data", "data": {"image/svg+xml": svg}, "metadata": {}}]

    script = Script(Path("wave.py"), (Cell("draw", "", 1, **header),), "")
    return compare(script, {"draw": shown(was)}, {"draw": shown(now)})


class Planted:
    """A figure whose SVG a test changes."""

    def __init__(self, svg):
        self.root = ET.fromstring(svg, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
        self.panels = drawings.read(svg).panels

    def __str__(self):
        return ET.tostring(self.root, encoding="unicode")

    def groups(self, kind, panel=0):
        """The groups of a kind that stand directly in a panel: its curves, its bars."""
        axes = [group for group in self.root.iter(f"{SVG}g") if group.get("id", "").startswith("axes_")][panel]
        return [group for group in axes if group.get("id", "").startswith(kind)]

    def texts(self, words):
        return [text for text in self.root.iter(f"{SVG}text") if text.text == words]

    def move(self, group, x=lambda x: x, y=lambda y: y):
        """Moves the points of a curve or a shape."""

        def moved(match):
            return f"{match[1]} {x(float(match[2]))} {y(float(match[3]))}"

        for element in group.iter():
            if element.get("d") and not element.get("id"):
                element.set("d", re.sub(r"([MLCQ]) (\S+) (\S+)", moved, element.get("d")))
            if element.tag == f"{SVG}use":
                element.set("x", str(x(float(element.get("x")))))
                element.set("y", str(y(float(element.get("y")))))

    def scale(self, group, factor, axis=1, panel=0):
        """Multiplies the values of a curve along an axis."""
        along = self.panels[panel].axes[axis]
        zero = -along.offset / along.slope
        shift = {"linear": lambda at: zero + factor * (at - zero)}
        if along.kind == "logarithmic":
            by = drawings.math.log10(factor) / along.slope
            shift["logarithmic"] = lambda at: at + by
        self.move(group, **{"xy"[axis]: shift[along.kind]})


@pytest.mark.parametrize("name", list(every_figure()))
def test_every_recorded_figure_is_read_and_equals_itself(name):
    svg = recorded(name)
    drawing = drawings.read(svg)
    assert drawing.panels
    for panel in drawing.panels:
        assert panel.marks or panel.pictures
    assert not list(drawings.differences(drawing, drawings.read(svg)))


@pytest.mark.parametrize(("name", "kind", "axis"), [(LINES, "line2d", 1), (TIMES, "line2d", 1), (BARS, "patch", 0)])
@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_values_of_one_series_multiplied(name, kind, axis, factor):
    planted = Planted(recorded(name))
    group = planted.groups(kind)[1 if kind == "line2d" else 5]
    planted.scale(group, factor, axis)
    [line] = differences(recorded(name), str(planted))
    assert re.search(r"cell 'draw': panel 1: (line2d|patch) no\. \d+ is (now|no longer) at \(\S+, \S+\)", line)


@pytest.mark.parametrize("name", [LINES, TIMES])
def test_two_series_swapped(name):
    planted = Planted(recorded(name))
    one, *_, other = planted.groups("line2d")
    one[:], other[:] = list(other), list(one)
    assert len(differences(recorded(name), str(planted))) == 2


def test_labels_of_a_legend_swapped():
    planted = Planted(recorded(TIMES))
    [one], [other] = planted.texts("explicit"), planted.texts("SDPA")
    one.text, other.text = other.text, one.text
    assert "prints 'SDPA'; recorded: 'explicit'" in differences(recorded(TIMES), str(planted))[0]


def test_another_title():
    planted = Planted(recorded(TIMES))
    planted.texts("peak MiB")[0].text = "peak GiB"
    [line] = differences(recorded(TIMES), str(planted))
    assert "prints 'peak GiB'; recorded: 'peak MiB'" in line


def test_same_ink_on_another_scale_is_another_curve():
    planted = Planted(recorded(LINES))
    for text in [planted.texts(label)[0] for label in ("0.2", "0.4", "0.6", "0.8", "1.0")]:
        text.text = f"{1.5 * float(text.text):.1f}"
    assert len(differences(recorded(LINES), str(planted))) >= 3


def test_a_curve_that_is_missing():
    planted = Planted(recorded(LINES))
    [axes] = [group for group in planted.root.iter(f"{SVG}g") if group.get("id") == "axes_1"]
    axes.remove(planted.groups("line2d")[0])
    assert "recorded: " in differences(recorded(LINES), str(planted))[0]


def test_a_heat_map_of_other_numbers():
    planted = Planted(recorded(MAPS))
    image = next(planted.root.iter(f"{SVG}image"))
    head, _, data = image.get(drawings.HREF).partition(",")
    turned = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(data))).transpose(Image.Transpose.ROTATE_90).save(turned, "png")
    image.set(drawings.HREF, f"{head},{base64.b64encode(turned.getvalue()).decode()}")
    [line] = differences(recorded(MAPS), str(planted))
    assert "panel 1: a picture has a spot of another shade" in line


@pytest.mark.parametrize("header", [{"tolerance": 0.6}, {"differs": "times depend on the processor"}])
def test_a_stated_tolerance_and_a_cell_that_may_differ_leave_room_but_not_all(header):
    planted = Planted(recorded(BARS))
    planted.scale(planted.groups("patch")[5], 1.3, axis=0)
    assert differences(recorded(BARS), str(planted))
    assert not differences(recorded(BARS), str(planted), **header)
    planted.scale(planted.groups("patch")[5], 3, axis=0)
    assert differences(recorded(BARS), str(planted), **header)


def drawn(values, **settings):
    """A figure with axes that follow their data."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure = Figure()
        axes = figure.add_subplot()
        for series in values:
            axes.plot(range(1, len(series) + 1), series, marker="o")
        axes.set(title="loss", **settings)
        written = io.StringIO()
        figure.savefig(written, format="svg")
        return written.getvalue()


@pytest.mark.parametrize("settings", [{}, {"yscale": "log"}, {"xscale": "log", "yscale": "log"}])
def test_rounding_moves_limits_and_is_no_difference(settings):
    was = [[1, 5, 20, 100], [2, 2, 3, 90]]
    assert not differences(drawn(was, **settings), drawn([[1.01 * x for x in series] for series in was], **settings))
    [*_, line] = differences(drawn(was, **settings), drawn([[1.5 * x for x in series] for series in was], **settings))
    assert "line2d" in line


def test_a_linear_axis_that_became_logarithmic():
    was = [[1, 5, 20, 100]]
    [line] = differences(drawn(was), drawn(was, yscale="log"))
    assert "its y axis is logarithmic; recorded: linear" in line
