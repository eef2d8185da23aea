"""What every chapter page has, as far as a machine can tell, and what every script owes its page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutorial_site import SiteError
from tutorial_site.cells import read_script
from tutorial_site.page import FIGURE, HEADING, Construct, blank, constructs, line_of
from tutorial_site.repository import LANGUAGES, pages, scripts
from tutorial_site.shown import read_shown

SECTIONS = ("goals", "failures", "parameters", "scale", "exercises", "sources")
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


def chapter_pages(root: Path, language: str) -> list[Path]:
    """The pages that the standard binds: those of the chapters, without the chapters' indexes."""
    chapters = {folder.name for folder in root.glob("snippets/*")}
    return [page for page in pages(root, language) if page.parent.name in chapters and page.name != "index.md"]


def sections(markdown: str) -> list[Section]:
    """All sections of a page, in order."""
    headings = list(HEADING.finditer(blank(markdown)))
    found = []
    for index, match in enumerate(headings):
        level = len(match["level"])
        end = next((later.start() for later in headings[index + 1 :] if len(later["level"]) <= level), len(markdown))
        found.append(Section(match["id"] or "", level, line_of(markdown, match.start()), markdown[match.end() : end]))
    return found


def problems(root: Path) -> Iterator[str]:
    """Everything that a chapter page or a script lacks."""
    for language in LANGUAGES:
        for page in chapter_pages(root, language):
            for line, lack in _page(root, page.read_text(encoding="utf-8")):
                yield f"{page}:{line}: {lack}"
        yield from _unshown(root, language)


def _page(root: Path, markdown: str) -> Iterator[tuple[int, str]]:
    found = sections(markdown)
    by_id = {section.id: section for section in found}
    for section in found:
        if not section.id:
            yield section.line, "a heading without an explicit id"
    for name in SECTIONS:
        if name not in by_id:
            yield 1, f"no section {{#{name}}}"
        else:
            for lack in _lacks(root, by_id[name]):
                yield by_id[name].line, f"section {{#{name}}} {lack}"
    first = next((section for section in found if section.level == 2), None)
    if first and first.id != "goals":
        yield first.line, f"the first section is {{#{first.id}}}; a page opens with {{#goals}}"
    figures = [match.start() for match in FIGURE.finditer(markdown)]
    figures += [
        item.start for item in constructs(markdown) if any(kind.startswith("image/") for kind in _shown(root, item))
    ]
    if not figures:
        yield 1, "no figure"
    elif min(figures) > EARLY * len(markdown):
        yield line_of(markdown, min(figures)), f"the first figure comes after {EARLY:.0%} of the page"


def _lacks(root: Path, section: Section) -> Iterator[str]:
    inside = list(constructs(section.text))
    kinds = [item.kind for item in inside]
    match section.id:
        case "goals" if not any(item.kind == "value" and item.body == "time" for item in inside):
            yield "does not say how long its scripts take: {= time =}"
        case "parameters":
            if not TABLE.search(section.text) and not any("text/html" in _shown(root, item) for item in inside):
                yield "has no table"
        case "failures":
            parts = [part for part in sections(section.text) if part.level == section.level + 1]
            shown = sum(any(item.kind == "cell" for item in constructs(part.text)) for part in parts)
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
    """The kinds of output that a construct shows."""
    try:
        outputs = read_shown(root, item.body).outputs if item.kind == "cell" else []
    except SiteError:  # the build says more; here a cell that cannot be read has the benefit of the doubt
        return {"image/unknown", "text/html"}
    return {kind for output in outputs for kind in output.get("data", {})}


def shown_cells(root: Path, language: str) -> dict[str, dict[str, str]]:
    """By script: the cells whose code a language's pages show, in page order, each with its first page."""
    shown: dict[str, dict[str, str]] = {}
    for page in pages(root, language):
        for item in constructs(page.read_text(encoding="utf-8")):
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
            line = script[missing[0]].line
            yield f"{path}:{line}: no page in docs/{language} shows the code of cell {missing[0]!r}"
            continue
        for one, other in zip(order, cells, strict=True):
            if one != other:
                yield f"{path}: {found[one]} shows {one!r} before {other!r}; the script runs it after"
                break
