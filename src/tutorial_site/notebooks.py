"""The notebook of a page: its prose as Markdown cells, its code with the recorded outputs.

Cells of a script that the page has not shown yet come along before the one that needs them, so that
the notebook runs from top to bottom. mkdocs-jupyter makes its view, in the markup of the page itself.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tutorial_site import citations, figures, shown
from tutorial_site.cells import Cell, Script
from tutorial_site.formulas import mathml
from tutorial_site.markup import WORDS, cell_html, code_html, folded, scrolls
from tutorial_site.page import HEADING, Construct, blank, pieces, replace
from tutorial_site.recording import NOTEBOOK, read_recording
from tutorial_site.repository import is_long

INSTALL = """# {comment}
from importlib.util import find_spec

if not find_spec("llm_tutorial"):
    %pip install -q {arguments}"""
ABOUT = {
    "zh": "*这本笔记本由[网页]({url})生成：文字相同，代码带着记录下来的输出。*",
    "en": "*Made from a [web page]({url}): the same words, and the code with its recorded outputs.*",
}
INSTALLS = {
    "zh": "安装本教程的库和示例所需的包；装好以后什么也不做",
    "en": "Installs the tutorial's library and what its examples need; does nothing where they are",
}
ATTRIBUTES = re.compile(r"[ \t]*\{:?[ \t]*[.#][\w.-][^}\n]*\}")
ADMONITION = re.compile(
    r'^(?:!!!|\?\?\?\+?) \w+(?: +"(?P<title>[^"]*)")?[ ]*\n(?P<body>(?:(?: {4}.*)?\n)*)', re.MULTILINE
)
FOOTNOTE = re.compile(r"\[\^(\w+)\]:?")
LINK = re.compile(r"\]\((?P<target>[^)\s:#]*)(?P<anchor>#[^)\s]*)?\)")


@dataclass
class Notebook:
    """Collects the cells of a page's notebook.

    Args:
        root: The repository.
        language: Of the page.
        resolve: Address of a page or file that a relative link names.
    """

    root: Path
    language: str
    resolve: Callable[[str], str]
    cells: list[nbformat.NotebookNode] = field(default_factory=list)
    prose: str = ""

    def read(self, markdown: str) -> None:
        """Takes in a page from start to end."""
        for piece in pieces(markdown):
            if isinstance(piece, str):
                self.prose += piece
            elif piece.kind == "cell":
                self._cell(shown.read_shown(self.root, piece.body))
            else:
                self.prose += self._words(piece, markdown)
        self._flush()

    def _words(self, construct: Construct, markdown: str = "") -> str:
        """A construct as plain Markdown."""
        match construct.kind:
            case "value":
                return shown.value(self.root, construct.body, markdown, self.language)
            case "citation":
                return citations.label(self.root, construct.body, self.language)
            case "list":
                return "\n".join(f"- {work.html(self.language)}" for work in citations.cited(self.root, markdown))
            case "exercise":
                exercise, words = shown.read_exercise(self.root, construct.body), WORDS[self.language]
                answer = folded(words["solution"], f"\n{_fence(exercise.answer)}\n")
                return f"{exercise.question[self.language]}\n\n{_fence(exercise.task)}\n\n{words['check']}\n\n{_fence(exercise.command, 'bash')}\n\n{answer}"
            case "comment":
                return ""
        return construct.source

    def _cell(self, cell: shown.Shown) -> None:
        cells = cell.script.cells
        if is_long(cell.script.path):
            self.prose += f"{_fence(cell.cell.code)}\n"
            return
        self._flush()
        after = itertools.takewhile(lambda each: each.hidden, cells[cells.index(cell.cell) + 1 :])
        for each in [*cells[: cells.index(cell.cell) + 1], *after]:
            self._code(cell.script, each, cell.alt if each is cell.cell else "")
        if cell.caption:
            self.prose += f"*{replace(cell.caption, self._words)}*"

    def _code(self, script: Script, cell: Cell, alt: str) -> None:
        name = f"{script.path.stem}-{cell.name}"[:64]
        if name not in [each.id for each in self.cells]:
            recorded = read_recording(script).outputs[cell.name]
            outputs = nbformat.from_dict(figures.in_language(recorded, script.path.parent.name, self.language))
            self.cells.append(new_code_cell(cell.code, id=name, outputs=outputs, metadata={"alt": alt} if alt else {}))

    def _flush(self) -> None:
        """Closes the Markdown cell that is being collected."""
        ids = [match["id"] for match in HEADING.finditer(blank(self.prose))]
        text = FOOTNOTE.sub(r"<sup>\1</sup>", ATTRIBUTES.sub("", ADMONITION.sub(_quote, self.prose)))
        text = LINK.sub(lambda link: f"]({self.resolve(link['target'])}{link['anchor'] or ''})", text).strip()
        if text:
            self.cells.append(new_markdown_cell(text, id=f"prose-{len(self.cells)}", metadata={"ids": ids}))
        self.prose = ""


def _fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```"


def _quote(match: re.Match[str]) -> str:
    lines = [f"**{match['title']}**", ""] if match["title"] else []
    lines += [line.removeprefix("    ") for line in match["body"].rstrip("\n").split("\n")]
    return "\n".join(f"> {line}".rstrip() for line in lines) + "\n\n"


def page_notebook(
    root: Path, language: str, markdown: str, resolve: Callable[[str], str], install: list[str]
) -> nbformat.NotebookNode:
    """The notebook of a page.

    Args:
        root: The repository.
        language: "zh" or "en".
        markdown: Source of the page.
        resolve: Address of the page that a relative link names; of this page for an empty string.
        install: Arguments of ``pip install`` that bring the library and all it needs.
    """
    notebook = Notebook(root, language, resolve)
    notebook.read(markdown)
    arguments = " ".join(f'"{argument}"' for argument in install)
    about = new_markdown_cell(ABOUT[language].format(url=resolve("")), id="about", metadata={"ids": []})
    setup = new_code_cell(INSTALL.format(comment=INSTALLS[language], arguments=arguments), id="install")
    head, *rest = notebook.cells
    return new_notebook(cells=[head, about, setup, *rest], metadata=NOTEBOOK | {"language": language})


def view(cell: nbformat.NotebookNode, language: str) -> str:
    """A cell of a notebook as the HTML of our pages; nbconvert's template has only to print it."""
    if cell.cell_type == "markdown":
        return MarkdownWithMath(Prose(language, iter(cell.metadata.ids))).render(cell.source)
    return cell_html(code_html(cell.source), cell.outputs, language, cell.metadata.get("alt", ""))


class Prose(IPythonRenderer):
    """The words of a notebook as on its page: formulas in MathML, headings with their ids."""

    def __init__(self, language: str, ids: Iterator[str]) -> None:
        super().__init__(escape=False)
        self.language, self.ids = language, ids

    def heading(self, text: str, level: int, **_: Any) -> str:
        """A heading with its id on the page."""
        return f'<h{level} id="{next(self.ids)}">{text}</h{level}>\n'

    def block_code(self, code: str, info: str | None = None) -> str:
        """Fenced code."""
        return code_html(code.rstrip("\n"), info or "text")

    def inline_math(self, body: str) -> str:
        """A formula inside a sentence."""
        return f'<span class="math">{mathml(body)}</span>'

    def block_math(self, body: str) -> str:
        """A formula on lines of its own."""
        return f'<span class="math math-display"{scrolls(body, self.language)}>{mathml(body, display=True)}</span>'
