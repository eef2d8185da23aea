"""What every chapter page has, as far as a machine can tell, and what every script owes its page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutorial_site import SiteError
from tutorial_site.cells import read_script
from tutorial_site.page import Construct, constructs, prose
from tutorial_site.parity import FIGURE, HEADING, LANGUAGES
from tutorial_site.record import scripts
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
    chapters = sorted(folder.name for folder in root.glob("snippets/*") if folder.is_dir())
    folders = [root / "docs" / language / chapter for chapter in chapters]
    return sorted(page for folder in folders for page in folder.glob("*.md") if page.name != "index.md")


def sections(markdown: str) -> list[Section]:
    """All sections of a page, in order."""
    blank = list(markdown)
    for item in constructs(markdown):
        if item.kind in ("fence", "comment"):
            blank[item.start : item.end] = re.sub(r"[^\n]", " ", markdown[item.start : item.end])
    headings = list(HEADING.finditer("".join(blank)))
    found = []
    for index, match in enumerate(headings):
        level = len(match["level"])
        end = next((later.start() for later in headings[index + 1 :] if len(later["level"]) <= level), len(markdown))
        found.append(
            Section(match["id"] or "", level, markdown.count("\n", 0, match.start()) + 1, markdown[match.end() : end])
        )
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
        elif lack := _lack(root, by_id[name]):
            yield by_id[name].line, f"section {{#{name}}} {lack}"
    first = next((section for section in found if section.level == 2), None)
    if first and first.id != "goals":
        yield first.line, f"the first section is {{#{first.id}}}; a page opens with {{#goals}}"
    yield from _figures(root, markdown)


def _lack(root: Path, section: Section) -> str | None:
    inside = list(constructs(section.text))
    kinds = [item.kind for item in inside]
    words = len(re.sub(r"[#\s]|\{.*?\}", "", prose(section.text)))
    if section.id == "goals" and not any(item.kind == "value" and item.body == "time" for item in inside):
        return "does not say how long its scripts take: {= time =}"
    if (
        section.id == "parameters"
        and not TABLE.search(section.text)
        and not any("text/html" in _shown(root, item) for item in inside)
    ):
        return "has no table"
    if section.id == "failures" and (shown := _failures(section)) < 2:
        return f"reproduces {shown} failures; at least 2 subsections with a cell each"
    if section.id == "exercises" and kinds.count("exercise") < 2:
        return f"has {kinds.count('exercise')} exercises; at least 2"
    if section.id == "sources" and "list" not in kinds:
        return "has no line [sources]"
    if section.id not in ("exercises", "sources") and words < ENOUGH:
        return f"has {words} characters of prose; at least {ENOUGH}"
    return None


def _failures(section: Section) -> int:
    return sum(
        any(item.kind == "cell" for item in constructs(part.text))
        for part in sections(section.text)
        if part.level == section.level + 1
    )


def _figures(root: Path, markdown: str) -> Iterator[tuple[int, str]]:
    figures = [match.start() for match in FIGURE.finditer(markdown)]
    figures += [
        item.start for item in constructs(markdown) if any(kind.startswith("image/") for kind in _shown(root, item))
    ]
    if not figures:
        yield 1, "no figure"
    elif min(figures) > EARLY * len(markdown):
        yield markdown.count("\n", 0, min(figures)) + 1, f"the first figure comes after {EARLY:.0%} of the page"


def _shown(root: Path, item: Construct) -> set[str]:
    """The kinds of output that a construct shows."""
    try:
        outputs = read_shown(root, item.body).outputs if item.kind == "cell" else []
    except SiteError:  # the build says more; here a cell that cannot be read has the benefit of the doubt
        return {"image/unknown", "text/html"}
    return {kind for output in outputs for kind in output.get("data", {})}


def shown_cells(root: Path, language: str) -> dict[str, list[tuple[str, str]]]:
    """Names of the cells whose code a language's pages show, in page order, by script, each with its page."""
    shown: dict[str, list[tuple[str, str]]] = {}
    folder = root / "docs" / language
    for page in sorted(folder.rglob("*.md")):
        for item in constructs(page.read_text(encoding="utf-8")):
            if item.kind == "cell" and "output=only" not in item.body:
                script, _, name = item.body.split()[0].partition("#")
                shown.setdefault(script, []).append((name, page.relative_to(root).as_posix()))
    return shown


def _unshown(root: Path, language: str) -> Iterator[str]:
    """A reader who copies a script's blocks in page order must end up with the script."""
    shown = shown_cells(root, language)
    for path in scripts(root):
        cells = [cell.name for cell in read_script(path).cells if not cell.hidden]
        found = shown.get(path.relative_to(root / "snippets").as_posix(), [])
        order = list(dict.fromkeys(name for name, _ in found))
        if missing := [name for name in cells if name not in order]:
            yield f"{path}:{read_script(path)[missing[0]].line}: no page in docs/{language} shows the code of cell {missing[0]!r}"
        elif [name for name in order if name in cells] != cells:
            at = next(index for index, (one, other) in enumerate(zip(order, cells, strict=False)) if one != other)
            yield f"{path}: {found[0][1]} shows {order[at]!r} before {cells[at]!r}; the script runs it after"
