"""The constructs of a page as an extension of Python-Markdown, for any site generator that takes one.

``MkDocs``, ``Zensical`` and plain ``markdown.markdown`` give a text and do not say whose it is: MkDocs'
own tree processor for links knows the file, elsewhere the text is looked for under ``docs/``.
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
from pygments.lexers import PythonLexer

from tutorial_site import SiteError, citations, shown
from tutorial_site.cells import Script
from tutorial_site.exercises import read_exercise
from tutorial_site.formulas import mathml
from tutorial_site.page import Construct, constructs

WORDS = {
    "zh": {
        "code": "查看代码",
        "check": "检查你的答案",
        "solution": "参考答案",
        "output": "输出",
        "table": "输出的表格",
        "formula": "公式",
    },
    "en": {
        "code": "Show the code",
        "check": "Check your answer",
        "solution": "Solution",
        "output": "Output",
        "table": "Table of results",
        "formula": "Formula",
    },
}
UNFINISHED = re.compile(r"\{[*=!](?!\})|\[@|(?<!\\)\$")
NARROW = 60  # characters of a line that a phone shows without scrolling, generously


@dataclass(frozen=True)
class Page:
    """A page being rendered: the repository, its file (None where nobody knows it), its text."""

    root: Path
    path: Path | None
    markdown: str

    @property
    def language(self) -> str:
        """Folder of the page under ``docs/``: "zh" or "en"."""
        parts = self.path.relative_to(self.root / "docs").parts if self.path else ()
        return parts[0] if parts and parts[0] in WORDS else "en"

    @property
    def words(self) -> dict[str, str]:
        """The engine's own words in the page's language."""
        return WORDS[self.language]

    @cached_property
    def scripts(self) -> list[Script]:
        """The quick scripts that the page shows."""
        return shown.page_scripts(self.root, self.markdown)

    @cached_property
    def has_list(self) -> bool:
        """Whether the page lists works, so that its citations can link to them."""
        return any(construct.kind == "list" for construct in constructs(self.markdown))

    def place(self, line: int) -> str:
        """File and line for a message; ``line`` counts in the text, the place in the file, front matter included."""
        if not self.path:
            return f"(a text outside docs):{line}"
        lines = self.path.read_text(encoding="utf-8").splitlines()
        first = next((number for number, text in enumerate(self.markdown.splitlines()) if text.strip()), 0)
        start = self.markdown.splitlines()[first].rstrip() if self.markdown.strip() else ""
        above = next((number - first for number, text in enumerate(lines) if text.expandtabs(4).rstrip() == start), 0)
        return f"{self.path.relative_to(self.root).as_posix()}:{line + above}"

    def value(self, body: str) -> str:
        """The text of ``{= … =}``."""
        return shown.run_time(self.scripts, self.language) if body == "time" else shown.read_value(self.root, body)


def render_page_constructs(page: Page, render: Callable[[Construct], str | None]) -> str:
    """Puts ``render(construct)`` in the place of each construct of a page.

    Args:
        page: the page; errors name its file and line.
        render: gives the text to put there; None leaves the construct as it stands.

    Raises:
        SiteError: something unknown, unparsable or unfinished on the page.
    """
    pieces, at = [], 0
    for construct in constructs(page.markdown):
        _refuse_unfinished(page, at, construct.start)
        pieces.append(page.markdown[at : construct.start])
        try:
            text = render(construct)
        except SiteError as error:
            raise SiteError(f"{page.place(construct.line)}: {error}") from None
        pieces.append(page.markdown[construct.start : construct.end] if text is None else text)
        at = construct.end
    _refuse_unfinished(page, at, len(page.markdown))
    return "".join(pieces) + page.markdown[at:]


def _refuse_unfinished(page: Page, start: int, end: int) -> None:
    match = UNFINISHED.search(page.markdown, start, end)
    if match and page.path:
        line = page.markdown.count("\n", 0, match.start()) + 1
        hint = (
            r"; write \$ for a dollar sign" if "$" in match[0] else "; cells and exercises stand on a line of their own"
        )
        rest = page.markdown[match.start() : match.start() + 40].splitlines()[0]
        raise SiteError(f"{page.place(line)}: cannot read {rest!r}{hint}")


def as_html(page: Page, construct: Construct) -> str | None:
    """A construct as HTML; None for code and comments."""
    body, words = construct.body, page.words
    match construct.kind:
        case "value":
            return html.escape(page.value(body), quote=False)
        case "inline":
            return f'<span class="math">{mathml(body)}</span>'
        case "display":
            wide = f' tabindex="0" role="group" aria-label="{words["formula"]}"' if len(body) > NARROW else ""
            return f'<span class="math math-display"{wide}>{mathml(body, display=True)}</span>'
        case "citation":
            return _citation(page, body)
        case "list":
            works = (
                citations.cited_in(page.root, page.language)
                if body == "references"
                else citations.cited(page.root, page.markdown)
            )
            items = "\n".join(f'<li id="source-{work.key}">{work.html(page.language)}</li>' for work in works)
            return f'<ul class="sources">\n{items}\n</ul>'
        case "cell":
            return _cell(page, shown.read_shown(page.root, body))
        case "exercise":
            exercise = read_exercise(page.root, body)
            return (
                f'<div class="exercise">\n{code_html(exercise.task)}\n'
                f"<p>{words['check']}</p>\n{code_html(exercise.command, 'bash')}\n"
                f"<details><summary>{words['solution']}</summary>\n{code_html(exercise.answer)}\n</details>\n</div>"
            )
    return None


def _citation(page: Page, body: str) -> str:
    works = [citations.find(page.root, key) for key in citations.keys(body)]
    if page.has_list:
        links = [
            f'<a class="citation" href="#source-{work.key}">{work.author_year(page.language)}</a>' for work in works
        ]
        return citations.enclose(links, page.language)
    if not page.path:
        return citations.label(page.root, body, page.language)
    references = os.path.relpath(page.root / "docs" / page.language / "references.md", page.path.parent).replace(
        os.sep, "/"
    )
    links = [f"[{work.author_year(page.language)}]({references}#source-{work.key})" for work in works]
    return citations.enclose(links, page.language)


def code_html(code: str, language: str = "python") -> str:
    """Highlighted code in the markup of pymdownx.highlight, which Material styles and gives a copy button."""
    tokens = (
        highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)) if language == "python" else html.escape(code) + "\n"
    )
    return f'<div class="language-{language} highlight"><pre><span></span><code>{tokens}</code></pre></div>'


def _cell(page: Page, cell: shown.Shown) -> str:
    name = f"{cell.script.path.relative_to(page.root / 'snippets').as_posix()}#{cell.cell.name}"
    parts = [f'<div class="cell" data-cell="{name}">']
    if cell.code == "fold":
        parts.append(f"<details><summary>{page.words['code']}</summary>\n{code_html(cell.cell.code)}\n</details>")
    elif cell.code == "show":
        parts.append(code_html(cell.cell.code))
    outputs = [text for output in cell.outputs if (text := _output(page, cell, output))]
    if cell.caption or any(map(shown.figure, cell.outputs)):
        caption = f"<figcaption>{_caption(page, cell.caption)}</figcaption>" if cell.caption else ""
        outputs = ["<figure>", *outputs, *([caption] if caption else []), "</figure>"]
    return "\n".join([*parts, *outputs, "</div>"])


def _output(page: Page, cell: shown.Shown, output: dict[str, Any]) -> str:
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if kind := shown.figure(output):
        return image_html(kind, data[kind], _alt(page, cell.alt))
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        table = re.sub(r"(<(?:table|thead|tbody|tr|th|td)\b)[^>]*?((?: (?:col|row)span=\"\d+\")*)\s*>", r"\1\2>", table)
        return f'<div class="output-table" tabindex="0" role="group" aria-label="{page.words["table"]}">\n{table.strip()}\n</div>'
    text = ("".join(output["text"]) if output["output_type"] == "stream" else data.get("text/plain", "")).rstrip()
    wide = any(len(line) > NARROW for line in text.splitlines())
    focus = f' tabindex="0" role="group" aria-label="{page.words["output"]}"' if wide else ""
    return f'<pre class="output"{focus}>{html.escape(text, quote=False)}</pre>' if text else ""


def image_html(kind: str, data: str, alt: str) -> str:
    """A figure as ``<img>`` with its data inside.

    Not as inline SVG: its style would reach the page, and its ids would clash with those of the next.
    """
    if kind == "image/svg+xml":
        svg = re.sub(r">\s+<", "><", data[data.index("<svg") :]).replace("\n", " ").strip()
        head = svg[: svg.index(">")]
        sizes = [
            float(value) * (4 / 3 if unit == "pt" else 1)
            for value, unit in re.findall(r'\b(?:width|height)="([\d.]+)(pt|px)?"', head)
        ]
        source = f"data:{kind}," + quote(svg, safe=" /:;=,()'-._~!*+@?").replace("'", "&#39;")
    else:
        sizes = list(struct.unpack(">II", base64.b64decode(data)[16:24]))
        source = f"data:{kind};base64," + "".join(data.split())
    size = f' width="{sizes[0]:.0f}" height="{sizes[1]:.0f}"' if len(sizes) == 2 else ""
    return f'<img src="{source}" alt="{html.escape(alt)}"{size}>'


def _alt(page: Page, text: str) -> str:
    return _inside(text, lambda construct: page.value(construct.body) if construct.kind == "value" else None, str)


def _caption(page: Page, text: str) -> str:
    def render(construct: Construct) -> str | None:
        if construct.kind == "code":
            return f"<code>{html.escape(construct.body.strip('`'))}</code>"
        if construct.kind == "citation" and not page.has_list:
            return citations.label(page.root, construct.body, page.language)
        return as_html(page, construct) if construct.kind in ("value", "inline", "citation") else None

    return _inside(text, render, lambda plain: html.escape(plain, quote=False))


def _inside(text: str, render: Callable[[Construct], str | None], plain: Callable[[str], str]) -> str:
    """Renders the constructs inside the text of an option."""
    pieces, at = [], 0
    for construct in constructs(text):
        rendered = render(construct)
        if rendered is None:
            raise SiteError(f"{text[construct.start : construct.end]!r} cannot stand in an option of a cell")
        pieces += [plain(text[at : construct.start]), rendered]
        at = construct.end
    return "".join(pieces) + plain(text[at:])


class PagePreprocessor(Preprocessor):
    """Renders the constructs before Markdown sees them; their HTML waits in the stash."""

    def __init__(self, md: Markdown, root: Path) -> None:
        super().__init__(md)
        self.root = root

    def run(self, lines: list[str]) -> list[str]:
        """Replaces constructs by placeholders."""
        page = Page(self.root, self._file("\n".join(lines)), "\n".join(lines))

        def render(construct: Construct) -> str | None:
            text = as_html(page, construct)
            if text is None:
                return None
            if construct.kind == "list":  # as plain HTML in the text, where MkDocs sees its anchors
                return f"\n{text}\n"
            if construct.kind == "citation" and not page.has_list:  # Markdown links, which MkDocs resolves
                return text
            placeholder = self.md.htmlStash.store(text)
            if construct.kind in ("cell", "exercise"):
                source = page.markdown[construct.start : construct.end]
                return "\n" + source[: len(source) - len(source.lstrip(" "))] + placeholder + "\n"
            return placeholder

        return render_page_constructs(page, render).split("\n")

    def _file(self, text: str) -> Path | None:
        if "relpath" in self.md.treeprocessors:
            found = getattr(getattr(self.md.treeprocessors["relpath"], "file", None), "abs_src_path", None)
            if found and Path(found).resolve().is_relative_to(self.root / "docs"):
                return Path(found).resolve()
        words = "".join(text.split())
        for path in sorted((self.root / "docs").rglob("*.md")):
            if words and "".join(path.read_text(encoding="utf-8").split()).endswith(words):
                return path
        return None


class TutorialExtension(Extension):
    """``root`` is the repository; by default the nearest folder upwards that has an ``mkdocs.yml``."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {"root": ["", "the repository"]}
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802, the name is Python-Markdown's
        """Registers the constructs, after white space is normalised and before fenced code is read."""
        here = Path.cwd()
        root = self.getConfig("root") or next(
            (folder for folder in (here, *here.parents) if (folder / "mkdocs.yml").exists()), here
        )
        md.preprocessors.register(PagePreprocessor(md, Path(root).resolve()), "tutorial_site", 27)
        md.ESCAPED_CHARS = [*md.ESCAPED_CHARS, "$"]


def makeExtension(**kwargs: Any) -> TutorialExtension:  # noqa: N802
    """What Python-Markdown calls for ``tutorial_site.extension``."""
    return TutorialExtension(**kwargs)
