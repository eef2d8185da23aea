"""Recorded figures as pages show them: words in the page's language, colours of its scheme, panels that stack.

A figure is recorded once, by Matplotlib, with English words that stay text in the SVG. The catalogue of its
chapter translates them. Numbers in a label are left out of its entry, ``window: {} %``, so that a new run
makes no entry stale; a name is an entry equal to itself. Numbers, formulas, single symbols and the labels that
``llm_tutorial.plotting.verbatim`` marks (tokens, data) need none.
"""

import html
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tutorial_site import SiteError
from tutorial_site.catalogue import read_catalogue
from tutorial_site.cells import read_script
from tutorial_site.recording import Output, read_recording
from tutorial_site.repository import scripts

CATALOGUES = Path("src/tutorial_site/locale/zh/figures")
SVG = "image/svg+xml"
INK = {  # a page has its own grey and black
    "#757d88": "currentColor",  # llm_tutorial.plotting.GREY
    "#000000": "var(--md-default-fg-color)",
}
PIXELS = 4 / 3  # of a point
SMALLEST = 0.8  # scale of a panel before a row breaks

LABEL = re.compile(r'(?P<before>(?P<verbatim><g id="verbatim">\s*)?<text\b[^>]*>)(?P<text>[^<]+)(?=</text>)')
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
WORD = re.compile(r"[A-Za-z][A-Za-z_]")
FORMULA = re.compile(r"<!-- (.*?) -->", re.DOTALL)  # Matplotlib names the source of what it sets as a formula

DECIMALS = re.compile(r"-?\d+\.\d{3,}")
COLOUR = re.compile(r"#[0-9a-f]{6}")
LEVEL = re.compile(r"\s*rotate\(-?0(?:\.0*)? [^)]*\)")
PLACE = re.compile(r"translate\((-?[\d.]+)[ ,]+(-?[\d.]+)\)")
NUMBERS = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
STYLED = ("fill", "stroke")
Box = tuple[float, float, float, float]  # left, top, right, bottom


# ---- words ----


def message(label: str) -> str:
    """The entry of a label in the catalogue: its numbers left out; empty for what needs no translation.

    >>> message("window: 18 %"), message("E = 32"), message("F1, validation")
    ('window: {} %', '', 'F1, validation')
    """
    entry = NUMBER.sub("{}", label.replace("{", "{{").replace("}", "}}"))
    return entry if WORD.search(entry) else ""


def translate(label: str, catalogue: dict[str, str]) -> str:
    """A label in the catalogue's language, its own numbers put in; as it is where the catalogue has none.

    >>> translate("2 layers of window: 18 %", {"{} layers of window: {} %": "{} 层窗口：{}%"})
    '2 层窗口：18%'
    """
    words = catalogue.get(message(label))
    return words.format(*NUMBER.findall(label)) if words else label


def labels(svg: str) -> list[str]:
    """The labels of a figure that need a translation, in the order drawn."""
    found = (html.unescape(match["text"]).strip() for match in LABEL.finditer(svg) if not match["verbatim"])
    return list(dict.fromkeys(label for label in found if message(label)))


def catalogue(chapter: str, language: str) -> dict[str, str]:
    """What the labels of a chapter's figures are in a language; nothing for English."""
    path = Path(__file__).parent / "locale" / language / "figures" / f"{chapter}.po"
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else {}


@cache
def _read(path: Path, modified: int) -> dict[str, str]:
    return read_catalogue(path)


def in_language(outputs: list[Output], chapter: str, language: str) -> list[Output]:
    """Outputs with the labels of their figures in the language of a page."""
    words = catalogue(chapter, language)

    def put(match: re.Match[str]) -> str:
        label = html.unescape(match["text"]).strip()
        return match[0] if match["verbatim"] else match["before"] + html.escape(translate(label, words), quote=False)

    return [
        output | {"data": output["data"] | {SVG: LABEL.sub(put, "".join(output["data"][SVG]))}}
        if words and SVG in output.get("data", {})
        else output
        for output in outputs
    ]


def problems(root: Path) -> Iterator[str]:
    """Names every label without a translation, every translation without its label, and what cannot have one."""
    catalogues = {path.stem: read_catalogue(path) for path in sorted((root / CATALOGUES).glob("*.po"))}
    said: dict[str, set[str]] = {chapter: set() for chapter in catalogues}
    for script in map(read_script, scripts(root)):
        chapter = script.path.parent.name
        try:
            outputs = read_recording(script, any_source=True).outputs
        except SiteError:  # the check of recordings says so
            continue
        for cell in (cell for cell in script.cells if cell.name in outputs):
            for svg in ("".join(output["data"][SVG]) for output in outputs[cell.name] if SVG in output.get("data", {})):
                place = script.place(cell.name)
                for mixed in filter(_mixed, FORMULA.findall(svg)):
                    yield f"{place}: label {mixed!r} mixes words with a formula; write the formula in Unicode"
                for entry in map(message, labels(svg)):
                    if entry not in catalogues.get(chapter, {}) and entry not in said.setdefault(chapter, set()):
                        yield f"{place}: no Chinese text for the label {entry!r} in {CATALOGUES / chapter}.po"
                    said[chapter].add(entry)
    for chapter, words in catalogues.items():
        for entry, translation in words.items():
            if entry not in said[chapter]:
                yield f"{CATALOGUES / chapter}.po: translates {entry!r}, which no figure says"
            elif entry.count("{}") != translation.count("{}"):
                yield f"{CATALOGUES / chapter}.po: {translation!r} has other numbers than {entry!r}"


def _mixed(label: str) -> bool:
    return bool(WORD.search(re.sub(r"\$[^$]*\$", "", label)))


# ---- pictures ----


def drawing(svg: str, alt: str) -> str:
    """A figure as inline SVG: one for each panel, in rows that wrap where they do not fit.

    Args:
        svg: As recorded, in the page's language.
        alt: Text that stands for it.
    """
    root = ElementTree.fromstring(svg[svg.index("<svg") :])
    _tidy(root, f"f{sha256(svg.encode()).hexdigest()[:8]}-")
    rows = "".join(f'<div class="{kind}">{"".join(row)}</div>' for kind, row in _rows(root)).replace(' class=""', "")
    return f'<div class="drawing" role="img" aria-label="{html.escape(alt)}" data-search-exclude>{rows}</div>'


def _tidy(root: Element, prefix: str) -> None:
    """Leaves what an SVG inside HTML needs, in fewer bytes, its ids made unique by ``prefix``."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    for parent in root.iter():
        for child in [child for child in parent if child.tag.rpartition("}")[2] in ("style", "metadata", "title")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in list(element.attrib):
            value = element.attrib.pop(name).replace("url(#", f"url(#{prefix}").strip()
            match name.rpartition("}")[2]:
                case "href":
                    element.set("href", f"#{prefix}{value[1:]}" if value[0] == "#" else "".join(value.split()))
                case "id":
                    element.set("id", f"{prefix}{value}" if value in used else value)
                case "style":
                    _restyle(element, dict(re.findall(r"([\w-]+): ?([^;]+)", value)))
                case other if value := LEVEL.sub("", value):
                    element.set(other, " ".join(DECIMALS.sub(_shorter, value).split()))
        if not (element.text or "").strip():
            element.text = None
        element.tail = None


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _restyle(element: Element, style: dict[str, str]) -> None:
    """The page's colours and fonts: a grey becomes the text's, a coloured word as dark as words must be."""
    family, word = style.pop("font-family", ""), element.tag in ("text", "tspan")
    for name in STYLED:
        if style.get(name) in INK:
            style[name] = INK[style[name]]
        elif word and COLOUR.fullmatch(style.get(name, "")):
            style[name] = f"color-mix(in srgb, {style[name]} var(--drawing-word), black)"
    if "STIX" in family:  # the glyphs of the page's formulas
        element.set("class", "math")
        if style.pop("font-style", "") and element.text:
            element.text = "".join(map(_italic, element.text))
    if style:
        element.set("style", ";".join(f"{name}:{value}" for name, value in style.items()))


def _italic(letter: str) -> str:
    """The mathematical italic letter, as MathML shows a variable.

    >>> _italic("W"), _italic("h"), _italic("α"), _italic("1")
    ('𝑊', 'ℎ', '𝛼', '1')
    """
    for first, last, start in (("A", "Z", 0x1D434), ("a", "z", 0x1D44E), ("Α", "Ω", 0x1D6E2), ("α", "ω", 0x1D6FC)):
        if first <= letter <= last:
            return "ℎ" if letter == "h" else chr(start + ord(letter) - ord(first))
    return letter


def _rows(root: Element) -> Iterator[tuple[str, list[str]]]:
    """The pieces of a figure, row by row, with a class for each row.

    Each panel is an SVG of its own, as wide as its column and as high as its row; so is each entry of a legend
    that is common to all, and what else stands beside the panels.
    """
    figure = next((child for child in root if child.get("id", "").startswith("figure")), None)
    clips = {clip.get("id", ""): _rectangle(clip[0]) for clip in root.iter("clipPath")}
    panels = _panels(figure, clips) if figure is not None else []
    legends = [] if figure is None else [child for child in figure if child.get("id", "").startswith("legend")]
    if figure is None or len(panels) + len(legends) < 2:
        yield "", [_svg(list(root), _view_box(root), root)]
        return
    panels[0][1].extend(child for child in root if child is not figure)  # clip paths
    rows: list[tuple[float, str, list[str]]] = []
    for child in figure:
        if child in legends:
            entries = [_svg(parts, _around([box(part, clips) for part in parts]), root) for parts in _entries(child)]
            rows.append((box(child, clips)[1], "legend", entries))
        elif child.get("id") != "patch_1" and not any(child in parts for _, parts in panels):
            rows.append((box(child, clips)[1], "", [_svg([child], box(child, clips), root)]))
    left = panels
    while left:
        row = [panel for panel in left if _overlap(panel[0][1::2], left[0][0][1::2]) > 0.5]
        _, top, _, bottom = _around([extent for extent, _ in row])
        columns = ([other for other, _ in panels if _overlap(extent[::2], other[::2]) > 0.5] for extent, _ in row)
        views = [(min(each[0] for each in column), top, max(each[2] for each in column), bottom) for column in columns]
        rows.append(
            (top, "", [_svg(parts, view, root, panel=True) for (_, parts), view in zip(row, views, strict=True)])
        )
        left = [panel for panel in left if panel not in row]
    yield from ((kind, pieces) for _, kind, pieces in sorted(rows, key=lambda row: row[0]))


def _entries(legend: Element) -> Iterator[list[Element]]:
    """What stands in a legend, name by name, each with the line or patch before it."""
    entry: list[Element] = []
    for part in legend:
        entry.append(part)
        if part.get("id", "").startswith("text"):
            yield entry
            entry = []


def _panels(figure: Element, clips: dict[str, Box]) -> list[tuple[Box, list[Element]]]:
    """Axes with their extent; a colour bar, an inset or a twin belongs to the axes beside or under it."""
    panels: list[tuple[Box, list[Element]]] = []
    every = [(box(child, clips), child) for child in figure if child.get("id", "").startswith(("axes", "pictures"))]
    widest = max((extent[2] - extent[0] for extent, _ in every), default=0)
    for extent, axes in every:
        thin = extent[2] - extent[0] < widest / 4
        near = [
            index
            for index, (other, _) in enumerate(panels)
            if _overlap(extent[1::2], other[1::2]) > 0.5
            and (_overlap(extent[::2], other[::2]) > 0.5 or (thin and other[0] < extent[0]))
        ]
        if near:
            other, parts = panels[near[-1]]
            panels[near[-1]] = (_around([extent, other]), [*parts, axes])
        else:
            panels.append((extent, [axes]))
    return panels


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The part that two stretches share, of the shorter one."""
    return (min(one[1], other[1]) - max(one[0], other[0])) / max(min(one[1] - one[0], other[1] - other[0]), 1e-9)


def _view_box(root: Element) -> Box:
    if view := root.get("viewBox"):
        left, top, width, height = map(float, view.split())
        return left, top, left + width, top + height
    width, height = (float(root.get(name, "0").rstrip("ptx")) for name in ("width", "height"))
    return 0, 0, width, height


def _svg(parts: list[Element], view: Box, root: Element, panel: bool = False) -> str:
    left, top, width, height = view[0], view[1], view[2] - view[0], view[3] - view[1]
    scale = PIXELS if root.get("width", "pt").endswith("pt") else 1
    svg = Element("svg", {"viewBox": f"{left:.2f} {top:.2f} {width:.2f} {height:.2f}"})
    svg.attrib |= {"width": f"{scale * width:.0f}", "height": f"{scale * height:.0f}"}
    if panel:
        svg.set("style", f"flex:1 1 {SMALLEST * scale * width:.0f}px;max-width:min(100%,{scale * width:.0f}px)")
    svg.extend(parts)
    if any(part.get("id", "").startswith("pictures") for part in svg.iter()):
        svg.set("class", "pictures")
    _unwrap(svg)
    return ElementTree.tostring(svg, encoding="unicode")


def _unwrap(element: Element) -> None:
    """Groups that say nothing are left out, and so are names that nothing refers to."""
    children = list(element)
    for child in children:
        _unwrap(child)
        if not re.match(r"f[0-9a-f]{8}-", child.get("id", "f00000000-")):
            del child.attrib["id"]
    for child in children:
        if child.tag == "g" and not child.attrib:
            place = list(element).index(child)
            element[place : place + 1] = list(child)
        elif child.tag == "path" and element.tag != "defs" and child.get("style") == "fill:none":
            element.remove(child)  # a ground that is not seen


# ---- sizes ----


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a font without serifs: a Chinese character is as wide as it is high."""
    return size * sum(1.0 if ord(letter) > 0x2E80 else 0.3 if letter in " .,:;il|'()" else 0.58 for letter in text)


def box(element: Element, clips: dict[str, Box]) -> Box:
    """The extent of what a group draws; what is clipped may fill its clip path, that of text is estimated."""
    return _around([*_boxes(element, clips)] or [(0, 0, 0, 0)])


def _around(many: list[Box]) -> Box:
    left, top, right, bottom = zip(*many, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _boxes(element: Element, clips: dict[str, Box], x: float = 0, y: float = 0) -> Iterator[Box]:
    if element.tag == "defs":
        return
    if clip := element.get("clip-path"):
        yield clips[clip[5:-1]]
        return
    if place := PLACE.match(element.get("transform", "")):
        x, y = x + float(place[1]), y + float(place[2])
    match element.tag:
        case "text" | "tspan" if element.text:
            yield text_box(element, x, y)
        case "path":
            numbers = [float(number) for number in NUMBERS.findall(element.get("d", "")) or "00"]
            yield x + min(numbers[::2]), y + min(numbers[1::2]), x + max(numbers[::2]), y + max(numbers[1::2])
        case "use" | "rect":
            yield _rectangle(element, x, y)
    for child in element:
        yield from _boxes(child, clips, x, y)


def _rectangle(element: Element, x: float = 0, y: float = 0) -> Box:
    left, top, width, height = (float(element.get(name, 0)) for name in ("x", "y", "width", "height"))
    return x + left, y + top, x + left + width, y + top + height


def text_box(element: Element, x: float = 0, y: float = 0) -> Box:
    """About the place that a text takes."""
    style = element.get("style", "")
    found = re.search(r"font-size: ?([\d.]+)", style)
    size, x, y = float(found[1]) if found else 10.0, x + float(element.get("x", 0)), y + float(element.get("y", 0))
    width = text_width(element.text or "", size)
    before = width * {"middle": 0.5, "end": 1.0}.get("".join(re.findall(r"text-anchor: ?(\w+)", style)), 0.0)
    if "rotate(-90" in element.get("transform", ""):
        return x - 0.8 * size, y + before - width, x + 0.25 * size, y + before
    return x - before, y - 0.8 * size, x - before + width, y + 0.25 * size
