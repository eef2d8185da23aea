"""What every chapter page has, as far as a machine can tell, and what every script owes its page.

A page that is not about a method (a comparison, a piece of theory) says so in its front matter, ``method: false``,
and owes no table of parameters and no section on scale.
"""

import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mkdocs.utils.meta import get_data

from tutorial_site import SiteError
from tutorial_site.cells import read_script
from tutorial_site.page import FIGURE, HEADING, Construct, blank, constructs, line_of
from tutorial_site.recording import figure
from tutorial_site.repository import LANGUAGES, pages, read, scripts
from tutorial_site.shown import read_shown

SECTIONS = ("goals", "failures", "parameters", "scale", "exercises", "sources")
OF_A_METHOD = ("parameters", "scale")
ENOUGH = 200  # characters of prose
EARLY = 0.4  # of the page
TABLE = re.compile(r"^\|.+\|\s*\n\|[-:| ]+\|", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, its subsections included."""

    id: str
    level: int
    line: int
    text: str


def sections(markdown: str) -> Iterator[Section]:
    """All sections of a page, in order."""
    headings = list(HEADING.finditer(blank(markdown)))
    for index, match in enumerate(headings):
        level = len(match["level"])
        end = next((later.start() for later in headings[index + 1 :] if len(later["level"]) <= level), len(markdown))
        yield Section(match["id"] or "", level, line_of(markdown, match.start()), markdown[match.end() : end])


def problems(root: Path) -> Iterator[str]:
    """Everything that a page of a chapter (but its index) or a script lacks."""
    chapters = {folder.name for folder in root.glob("snippets/*")}
    for language in LANGUAGES:
        for page in pages(root, language):
            if page.parent.name in chapters and page.name != "index.md":
                for line, lack in _page(root, read(page)):
                    yield f"{page}:{line}: {lack}"
        yield from _unshown(root, language)
    for path in scripts(root):
        yield from _needed(path)


def _page(root: Path, markdown: str) -> Iterator[tuple[int, str]]:
    method = get_data(markdown)[1].get("method", True)
    by_id = {section.id: section for section in sections(markdown)}
    if "" in by_id:
        yield by_id[""].line, "a heading without an explicit id"
    for name in SECTIONS:
        if name in OF_A_METHOD and not method and name not in by_id:
            continue
        if name not in by_id:
            excuse = "; a page that is about no method says method: false in its front matter"
            yield 1, f"no section {{#{name}}}{excuse if name in OF_A_METHOD else ''}"
        else:
            for lack in _lacks(root, by_id[name]):
                yield by_id[name].line, f"section {{#{name}}} {lack}"
    first = next((section for section in by_id.values() if section.level == 2), None)
    if first and first.id != "goals":
        yield first.line, f"the first section is {{#{first.id}}}; a page opens with {{#goals}}"
    drawn = [item.start for item in constructs(markdown) if "image" in _shown(root, item)]
    figures = [*drawn, *(match.start() for match in FIGURE.finditer(markdown))]
    if not figures:
        yield 1, "no figure"
    elif min(figures) > EARLY * len(markdown):
        yield line_of(markdown, min(figures)), f"the first figure comes after {EARLY:.0%} of the page"


def _lacks(root: Path, section: Section) -> Iterator[str]:
    inside = list(constructs(section.text))
    kinds = [item.kind for item in inside]
    match section.id:
        case "goals" if "time" not in [item.body for item in inside]:
            yield "does not say how long its scripts take: {= time =}"
        case "parameters" if not TABLE.search(section.text) and not any(
            "text/html" in _shown(root, item) for item in inside
        ):
            yield "has no table"
        case "failures":
            parts = [part.text for part in sections(section.text) if part.level == section.level + 1]
            shown = sum(any(item.kind == "cell" for item in constructs(text)) for text in parts)
            if shown < 2:
                yield f"reproduces {shown} failures; at least 2 subsections with a cell each"
        case "exercises" if kinds.count("exercise") < 2:
            yield f"has {kinds.count('exercise')} exercises; at least 2"
        case "sources" if "list" not in kinds:
            yield "has no line [sources]"
    words = len(re.sub(r"[#\s]|\{.*?\}", "", blank(section.text)))
    if section.id not in ("exercises", "sources") and words < ENOUGH:
        yield f"has {words} characters of prose; at least {ENOUGH}"


def _shown(root: Path, item: Construct) -> set[str]:
    """What a construct shows: an "image", a table ("text/html") or neither."""
    try:
        outputs = read_shown(root, item.body).outputs if item.kind == "cell" else []
    except SiteError:  # the build says more; here a cell that cannot be read has the benefit of the doubt
        return {"image", "text/html"}
    return {"image" if figure(output) else kind for output in outputs for kind in output.get("data", {})}


def shown_cells(root: Path, language: str) -> dict[str, dict[str, str]]:
    """By script: the cells whose code a language's pages show, in page order, each with its first page."""
    shown: dict[str, dict[str, str]] = {}
    for page in pages(root, language):
        for item in constructs(read(page)):
            if item.kind == "cell" and "output=only" not in item.body:
                script, _, name = item.body.split()[0].partition("#")
                shown.setdefault(script, {}).setdefault(name, page.relative_to(root).as_posix())
    return shown


def _unshown(root: Path, language: str) -> Iterator[str]:
    """A reader who copies a script's blocks in page order must end up with the script."""
    shown = shown_cells(root, language)
    for path in scripts(root):
        script = read_script(path)
        cells = [cell.name for cell in script.cells if not cell.hidden]
        found = shown.get(path.relative_to(root / "snippets").as_posix(), {})
        order = [name for name in found if name in cells]
        if missing := [name for name in cells if name not in order]:
            yield f"{path}:{script[missing[0]].line}: no page in docs/{language} shows the code of cell {missing[0]!r}"
        elif wrong := next((pair for pair in zip(order, cells, strict=True) if pair[0] != pair[1]), None):
            yield f"{path}: {found[wrong[0]]} shows {wrong[0]!r} before {wrong[1]!r}; the script runs it after"


def _needed(path: Path) -> Iterator[str]:
    """Who pastes the cells that pages show must not miss what the others bind."""
    binder: dict[str, str] = {}  # of a name: the cell, shown by no page, that bound it last
    for cell in read_script(path).cells:
        bound, used = _names(cell.code)
        if cell.hidden:
            binder |= dict.fromkeys(bound, cell.name)
            continue
        binder = {name: other for name, other in binder.items() if name not in bound}
        for name in sorted(used & binder.keys()):
            yield f"{path}:{cell.line}: cell {cell.name!r} needs {name!r} of cell {binder[name]!r}, which no page shows"


def _names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds for the cells after it, and those that it reads."""
    top = symtable.symtable(code, "cell", "exec")
    tables = [top]
    for table in tables:
        tables += table.get_children()
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table is top or symbol.is_global())
    }
    return bound, read
