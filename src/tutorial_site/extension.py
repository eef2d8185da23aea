"""The constructs of a page as an extension of Python-Markdown, for any site generator that takes one.

MkDocs, Zensical and plain ``markdown.markdown`` give a text and do not say whose it is: MkDocs' own
tree processor for links knows the file, elsewhere the text is looked for under ``docs/``.
"""

import base64
import html
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from tutorial_site import SiteError, citations, shown
from tutorial_site.exercises import read_exercise
from tutorial_site.formulas import mathml
from tutorial_site.page import Construct, constructs

WORDS = {
    "zh": {"code": "查看代码", "check": "检查你的答案", "solution": "参考答案", "wide": "可以左右滚动"},
    "en": {"code": "Show the code", "check": "Check your answer", "solution": "Solution", "wide": "Scrolls sideways"},
}
UNFINISHED = re.compile(r"\{[*=!](?!\})|\[@|(?<!\\)\$")
SPACE_BEFORE_CITATION = re.compile(r"(?<=[\u4e00-\u9fff]) (?=\[@)")  # Chinese parentheses bring their own
WIDE = 60  # characters in a line that may not fit a screen
URL_SAFE = " /:;=,()-._~!*+@?"  # what a data address in an attribute may hold as it is


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
        text, file = self.markdown.splitlines(), self.path.read_text(encoding="utf-8").splitlines()
        first = next((number for number, words in enumerate(text) if words.strip()), 0)
        above = next((number - first for number, words in enumerate(file) if words.split() == text[first].split()), 0)
        return f"{self.path.relative_to(self.root).as_posix()}:{line + above}"

    def value(self, body: str) -> str:
        """The text of ``{= … =}``."""
        if body == "time":
            return shown.run_time(shown.page_scripts(self.root, self.markdown), self.language)
        return shown.read_value(self.root, body)

    def scrolls(self, text: str) -> str:
        """Attributes of a box that may scroll sideways, so that the keyboard reaches it."""
        wide = any(len(line) > WIDE for line in text.splitlines())
        return f' tabindex="0" role="group" aria-label="{WORDS[self.language]["wide"]}"' if wide else ""


def render_page_constructs(page: Page, render: Callable[[Construct], str | None]) -> str:
    """Puts ``render(construct)`` in the place of each construct of a page.

    Args:
        page: The page; errors name its file and line.
        render: Gives the text to put there; None leaves the construct as it stands.

    Raises:
        SiteError: Something unknown, unparsable or unfinished on the page.
    """
    pieces, at = [], 0
    for construct in constructs(page.markdown):
        _refuse_unfinished(page, at, construct.start)
        try:
            text = render(construct)
        except SiteError as error:
            raise SiteError(f"{page.place(construct.line)}: {error}") from None
        source = page.markdown[construct.start : construct.end]
        pieces += [page.markdown[at : construct.start], source if text is None else text]
        at = construct.end
    _refuse_unfinished(page, at, len(page.markdown))
    return "".join(pieces) + page.markdown[at:]


def _refuse_unfinished(page: Page, start: int, end: int) -> None:
    match = UNFINISHED.search(page.markdown, start, end)
    if match and page.path:
        line = page.markdown.count("\n", 0, match.start()) + 1
        hint = r"write \$ for a dollar sign" if match[0] == "$" else "cells and exercises stand on a line of their own"
        rest = page.markdown[match.start() : match.start() + 40].splitlines()[0]
        raise SiteError(f"{page.place(line)}: cannot read {rest!r}; {hint}")


def as_html(page: Page, construct: Construct) -> str | None:
    """A construct as HTML (a citation that links to another page as Markdown); None for code and comments."""
    body = construct.body
    match construct.kind:
        case "value":
            return html.escape(page.value(body), quote=False)
        case "inline":
            return f'<span class="math">{mathml(body)}</span>'
        case "display":
            return f'<span class="math math-display"{page.scrolls(" ".join(body.split()))}>{mathml(body, display=True)}</span>'
        case "citation":
            return _citation(page, body)
        case "list":
            everywhere = body == "references"
            works = (
                citations.cited_in(page.root, page.language)
                if everywhere
                else citations.cited(page.root, page.markdown)
            )
            items = "\n".join(f'<li id="source-{work.key}">{work.html(page.language)}</li>' for work in works)
            return f'<ul class="sources">\n{items}\n</ul>'
        case "cell":
            return _cell(page, shown.read_shown(page.root, body))
        case "exercise":
            exercise, words = read_exercise(page.root, body), WORDS[page.language]
            check = f"<p>{words['check']}</p>\n{code_html(exercise.command, 'text')}"
            solution = f"<details><summary>{words['solution']}</summary>\n{code_html(exercise.answer)}\n</details>"
            return f'<div class="exercise">\n{code_html(exercise.task)}\n{check}\n{solution}\n</div>'
    return None


def _citation(page: Page, body: str) -> str:
    works = [citations.find(page.root, key) for key in citations.keys(body)]
    if page.has_list:
        form = '<a class="citation" href="#source-{key}">{label}</a>'
    elif page.path:
        references = page.root / "docs" / page.language / "references.md"
        form = "[{label}](" + os.path.relpath(references, page.path.parent).replace(os.sep, "/") + "#source-{key})"
    else:
        form = "{label}"
    links = [form.format(key=work.key, label=work.author_year(page.language)) for work in works]
    return citations.enclose(links, page.language)


def code_html(code: str, language: str = "python") -> str:
    """Highlighted code in the markup of pymdownx.highlight, which Material styles and gives a copy button."""
    tokens = highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
    return f'<div class="language-{language} highlight"><pre><span></span><code>{tokens}</code></pre></div>'


def _cell(page: Page, cell: shown.Shown) -> str:
    name = f"{cell.script.path.relative_to(page.root / 'snippets').as_posix()}#{cell.cell.name}"
    code = code_html(cell.cell.code)
    if cell.code == "fold":
        code = f"<details><summary>{WORDS[page.language]['code']}</summary>\n{code}\n</details>"
    outputs = [_output(page, cell, output) for output in cell.outputs]
    if cell.caption or any(map(shown.figure, cell.outputs)):
        caption = [f"<figcaption>{_inside(page, cell.caption)}</figcaption>"] if cell.caption else []
        outputs = ["<figure>", *outputs, *caption, "</figure>"]
    parts = [f'<div class="cell" data-cell="{name}">', "" if cell.code == "hide" else code, *outputs, "</div>"]
    return "\n".join(filter(None, parts))


def _output(page: Page, cell: shown.Shown, output: dict[str, Any]) -> str:
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if kind := shown.figure(output):
        return image_html(kind, data[kind], html.unescape(re.sub(r"<[^>]+>", "", _inside(page, cell.alt, ("value",)))))
    if "text/html" in data:
        table = table_html(data["text/html"])
        return f'<div class="output-table"{page.scrolls("-" * 2 * WIDE)}>\n{table}\n</div>'
    text = ("".join(output["text"]) if output["output_type"] == "stream" else data.get("text/plain", "")).rstrip()
    return f'<pre class="output"{page.scrolls(text)}>{html.escape(text, quote=False)}</pre>' if text else ""


def table_html(table: str) -> str:
    """A recorded table without styles, borders and empty headings of its own."""
    table = re.sub(r"<style.*?</style>", "", table, flags=re.DOTALL)
    table = re.sub(r"(<(?:table|thead|tbody|tr|th|td)\b)[^>]*?((?: (?:col|row)span=\"\d+\")*)\s*>", r"\1\2>", table)
    return table.replace("<th></th>", "<td></td>").strip()


def image_html(kind: str, data: str, alt: str) -> str:
    """A figure as ``<img>`` with its data inside.

    Not as inline SVG: its style would reach the page, and its ids would clash with those of the next.
    """
    if kind == "image/svg+xml":
        svg = re.sub(r">\s+<", "><", data[data.index("<svg") :]).replace("\n", " ").strip()
        sizes = re.findall(r'\b(?:width|height)="([\d.]+)(pt|px)?"', svg[: svg.index(">")])
        pixels = [float(size) * (4 / 3 if unit == "pt" else 1) for size, unit in sizes]
        source = f"data:{kind},{quote(svg, safe=URL_SAFE)}"
    else:
        pixels = list(struct.unpack(">II", base64.b64decode(data)[16:24]))
        source = f"data:{kind};base64,{''.join(data.split())}"
    size = f' width="{pixels[0]:.0f}" height="{pixels[1]:.0f}"' if len(pixels) == 2 else ""
    return f'<img src="{source}" alt="{html.escape(alt)}"{size}>'


def _inside(page: Page, text: str, kinds: tuple[str, ...] = ("value", "inline", "citation", "code")) -> str:
    """The text of an option as HTML; it may hold values and, in a caption, formulas, citations and code."""
    pieces, at = [], 0
    for construct in constructs(text):
        if construct.kind not in kinds:
            raise SiteError(f"{text[construct.start : construct.end]!r} cannot stand in this option of a cell")
        if construct.kind == "code":
            rendered = f"<code>{html.escape(construct.body.strip('`'))}</code>"
        elif construct.kind == "citation" and not page.has_list:
            rendered = citations.label(page.root, construct.body, page.language)
        else:
            rendered = as_html(page, construct) or ""
        pieces += [html.escape(text[at : construct.start], quote=False), rendered]
        at = construct.end
    return "".join(pieces) + html.escape(text[at:], quote=False)


class PagePreprocessor(Preprocessor):
    """Renders the constructs before Markdown sees them; their HTML waits in the stash."""

    def __init__(self, md: Markdown, root: Path) -> None:
        super().__init__(md)
        self.root = root

    def run(self, lines: list[str]) -> list[str]:
        """Replaces constructs by placeholders."""
        text = "\n".join(lines)
        page = Page(self.root, self._file(text), SPACE_BEFORE_CITATION.sub("", text))

        def render(construct: Construct) -> str | None:
            rendered = as_html(page, construct)
            if rendered is None or (construct.kind == "citation" and not page.has_list):
                return rendered
            if construct.kind == "list":  # as HTML in the text, where MkDocs sees its anchors
                return f"\n{rendered}\n"
            placeholder = self.md.htmlStash.store(rendered)
            if construct.kind in ("cell", "exercise"):
                indent = re.match(" *", page.markdown[construct.start :])
                return f"\n{indent[0] if indent else ''}{placeholder}\n"
            return placeholder

        return render_page_constructs(page, render).split("\n")

    def _file(self, text: str) -> Path | None:
        docs = self.root / "docs"
        if "relpath" in self.md.treeprocessors:
            source = getattr(self.md.treeprocessors["relpath"].file, "abs_src_path", None)  # type: ignore[attr-defined]
            return Path(source).resolve() if source and Path(source).resolve().is_relative_to(docs) else None
        words = "".join(text.split())
        pages = (path for path in sorted(docs.rglob("*.md")) if words)
        return next((path for path in pages if "".join(path.read_text(encoding="utf-8").split()).endswith(words)), None)


class TutorialExtension(Extension):
    """``root`` is the repository; by default the nearest folder upwards that has an ``mkdocs.yml``."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {"root": ["", "the repository"]}
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802, the name is Python-Markdown's
        """Registers the constructs, after white space is normalised and before fenced code is read."""
        folders = [Path.cwd(), *Path.cwd().parents]
        root = self.getConfig("root") or next((path for path in folders if (path / "mkdocs.yml").exists()), folders[0])
        md.preprocessors.register(PagePreprocessor(md, Path(root).resolve()), "tutorial_site", 27)
        md.ESCAPED_CHARS = [*md.ESCAPED_CHARS, "$"]


def makeExtension(**kwargs: Any) -> TutorialExtension:  # noqa: N802
    """What Python-Markdown calls for ``tutorial_site.extension``."""
    return TutorialExtension(**kwargs)
