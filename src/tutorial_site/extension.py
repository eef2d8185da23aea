"""The constructs of a page as an extension of Python-Markdown, for any site generator that takes one.

MkDocs, Zensical and plain ``markdown.markdown`` give a text and do not say whose it is: MkDocs' own
tree processor for links knows the file, elsewhere the text is looked for under ``docs/``.
"""

import html
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from tutorial_site import SiteError, citations, figures, shown
from tutorial_site.formulas import mathml
from tutorial_site.markup import WORDS, cell_html, code_html, exercise_html, fold_title, folded, scrolls
from tutorial_site.page import Construct, blank, constructs, line_of, pieces, replace
from tutorial_site.repository import find_root, pages, read

UNFINISHED = re.compile(r"\{[*=!](?!\})|\[@|(?<!\\)\$")
SPACE_BEFORE_CITATION = re.compile(r"(?<=[\u4e00-\u9fff]) (?=\[@)")  # Chinese parentheses bring their own
IN_CAPTION = ("value", "inline", "citation", "code")


@dataclass(frozen=True)
class Page:
    """A page being rendered: the repository, its file (None where nobody knows it), its text."""

    root: Path
    path: Path | None
    markdown: str

    @property
    def language(self) -> str:
        """Folder of the page under ``docs/``: "zh" or "en"."""
        folder = self.path.relative_to(self.root / "docs").parts[0] if self.path else ""
        return folder if folder in WORDS else "en"

    @cached_property
    def has_list(self) -> bool:
        """Whether the page lists works, so that its citations can link to them."""
        return any(construct.kind == "list" for construct in constructs(self.markdown))

    def place(self, line: int) -> str:
        """File and line for a message, front matter counted."""
        if not self.path:
            return f"(a text outside docs):{line}"
        above = read(self.path).rstrip().count("\n") - self.markdown.rstrip().count("\n")
        return f"{self.path.relative_to(self.root).as_posix()}:{line + above}"

    def render(self, put: Callable[[Construct], str]) -> str:
        """The page with ``put(construct)`` in the place of each construct.

        Raises:
            SiteError: something unknown, unparsable or unfinished, with file and line.
        """

        def placed(construct: Construct) -> str:
            try:
                return put(construct)
            except SiteError as error:
                raise SiteError(f"{self.place(construct.line)}: {error}") from None

        if self.path and (found := UNFINISHED.search(blank(self.markdown))):
            hint = "write \\$ for a dollar sign" if found[0] == "$" else "cells and exercises: on a line of their own"
            rest = self.markdown[found.start() :].splitlines()[0][:40]
            raise SiteError(f"{self.place(line_of(self.markdown, found.start()))}: cannot read {rest!r}; {hint}")
        return replace(self.markdown, placed)

    def html(self, construct: Construct) -> str:
        """A construct as HTML, a citation as Markdown; code and comments as they stand."""
        body = construct.body
        match construct.kind:
            case "value":
                return html.escape(shown.value(self.root, body, self.markdown, self.language), quote=False)
            case "inline":
                return f'<span class="math">{mathml(body)}</span>'
            case "display":
                box = scrolls(" ".join(body.split()), self.language)
                return f'<span class="math math-display"{box}>{mathml(body, display=True)}</span>'
            case "citation":
                return citations.label(self.root, body, self.language, self.link)
            case "list":
                citing = pages(self.root, self.language) if body == "references" else []
                every = [self.markdown, *(read(page) for page in citing)]
                works = citations.cited(self.root, "\n\n".join(every))
                items = "\n".join(f'<li id="source-{work.key}">{work.html(self.language)}</li>' for work in works)
                return f'<ul class="sources">\n{items}\n</ul>'
            case "cell":
                cell = shown.read_shown(self.root, body)
                return self.cell(cell, self.folds.get(construct.start, [cell]))
            case "exercise":
                exercise = shown.read_exercise(self.root, body)
                question = replace(exercise.question[self.language], self.in_caption, html.escape)
                return exercise_html(exercise, question, self.language)
        return construct.source

    def link(self, work: citations.Work, label: str) -> str:
        """A citation's link to the list of works on this page, else on the page of references."""
        if self.has_list:
            return f'<a class="citation" href="#source-{work.key}">{label}</a>'
        if not self.path:
            return label
        references = os.path.relpath(self.root / "docs" / self.language / "references.md", self.path.parent)
        return f"[{label}]({Path(references).as_posix()}#source-{work.key})"

    @cached_property
    def folds(self) -> dict[int, list[shown.Shown]]:
        """The folded cells that stand in one fold, by where the last of them stands; none where the others do.

        Neighbours join where nothing is seen between them: neither words nor what the first printed.
        """
        found: dict[int, list[shown.Shown]] = {}
        last, run = 0, list[shown.Shown]()
        for piece in pieces(self.markdown):
            if isinstance(piece, str):
                run = [] if piece.strip() else run
                continue
            cell = self._folded(piece)
            if cell and run:
                found[last] = []
            last, run = piece.start, [*run, cell] if cell else []
            if cell:
                found[last] = run
            run = [] if cell and cell.outputs else run
        return found

    def _folded(self, construct: Construct) -> shown.Shown | None:
        """The cell of a construct, if it is a folded one; what cannot be read says so when its turn comes."""
        with suppress(SiteError):
            if construct.kind == "cell" and (cell := shown.read_shown(self.root, construct.body)).code == "fold":
                return cell
        return None

    def cell(self, cell: shown.Shown, fold: list[shown.Shown]) -> str:
        """A cell as HTML, with those that stand in its fold; nothing, if it stands in another's."""
        if not fold:
            return ""
        name = f"{cell.script.path.relative_to(self.root / 'snippets').as_posix()}#{cell.cell.name}"
        code = "" if cell.code == "hide" else code_html(cell.cell.code)
        if cell.code == "fold":
            scripts = groupby(fold, lambda each: each.script.path)
            blocks = (code_html("\n\n".join(each.cell.code for each in cells)) for _, cells in scripts)
            code = folded(fold_title(fold, self.language), "\n".join(blocks))
        caption = replace(cell.caption, self.in_caption, html.escape)
        outputs = figures.in_language(cell.outputs, cell.script.path.parent.name, self.language)
        return cell_html(code, outputs, self.language, cell.alt, caption, name)

    def in_caption(self, construct: Construct) -> str:
        """A construct inside a caption, which nothing reads as Markdown any more."""
        if construct.kind not in IN_CAPTION:
            raise SiteError(f"{construct.source!r} cannot stand in a caption")
        if construct.kind == "code":
            return f"<code>{html.escape(construct.body.strip('`'))}</code>"
        if construct.kind == "citation" and not self.has_list:
            return citations.label(self.root, construct.body, self.language)
        return self.html(construct)


class PagePreprocessor(Preprocessor):
    """Renders the constructs before Markdown sees them; their HTML waits in the stash."""

    def __init__(self, md: Markdown, root: Path) -> None:
        super().__init__(md)
        self.root = root

    def run(self, lines: list[str]) -> list[str]:
        """Replaces constructs by placeholders."""
        text = "\n".join(lines)
        page = Page(self.root, self._file(text), SPACE_BEFORE_CITATION.sub("", text))

        def put(construct: Construct) -> str:
            rendered = page.html(construct)
            match construct.kind:
                case "cell" | "exercise":
                    indent = " " * (len(construct.source) - len(construct.source.lstrip()))
                    return f"\n{indent}{self.md.htmlStash.store(rendered)}\n"
                case "list":  # as HTML in the text, where MkDocs sees its anchors
                    return f"\n{rendered}\n"
                case "value" | "inline" | "display":
                    return self.md.htmlStash.store(rendered)
                case "citation" if page.has_list:
                    return self.md.htmlStash.store(rendered)
            return rendered

        return page.render(put).split("\n")

    def _file(self, text: str) -> Path | None:
        docs, words = self.root / "docs", "".join(text.split())
        if "relpath" in self.md.treeprocessors:
            source = getattr(self.md.treeprocessors["relpath"].file, "abs_src_path", None)  # type: ignore[attr-defined]
            return Path(source).resolve() if source and Path(source).resolve().is_relative_to(docs) else None
        files = pages(self.root) if words else []
        return next((path for path in files if "".join(read(path).split()).endswith(words)), None)


class TutorialExtension(Extension):
    """``root`` is the repository; by default the nearest folder upwards that has an ``mkdocs.yml``."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {"root": ["", "the repository"]}
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802, the name is Python-Markdown's
        """Registers the constructs, after white space is normalised and before fenced code is read."""
        root = Path(self.getConfig("root") or find_root()).resolve()
        md.preprocessors.register(PagePreprocessor(md, root), "tutorial_site", 27)
        md.ESCAPED_CHARS = [*md.ESCAPED_CHARS, "$"]


def makeExtension(**kwargs: Any) -> TutorialExtension:  # noqa: N802
    """What Python-Markdown calls for ``tutorial_site.extension``."""
    return TutorialExtension(**kwargs)
