"""The notebook of a page: its prose as Markdown cells, its code with the recorded outputs.

Cells of a script that the page has not shown yet come along before the one that needs them, so that
the notebook runs from top to bottom.
"""

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tutorial_site import citations, formulas, shown
from tutorial_site.cells import Cell, Script
from tutorial_site.exercises import read_exercise
from tutorial_site.page import Construct, constructs
from tutorial_site.recording import read_recording

INSTALL = """# {comment}
from importlib.util import find_spec

if not find_spec("llm_tutorial"):
    %pip install -q {arguments}"""
WORDS = {
    "zh": {
        "page": "*这本笔记本由[网页]({url})生成：文字相同，代码带着记录下来的输出。*",
        "install": "安装本教程的库和示例所需的包；装好以后什么也不做",
        "check": "在仓库里检查你的答案：",
        "answer": "参考答案",
    },
    "en": {
        "page": "*Made from a [web page]({url}): the same words, and the code with its recorded outputs.*",
        "install": "Installs the tutorial's library and what its examples need; does nothing where they are",
        "check": "Check your answer, inside the repository:",
        "answer": "Solution",
    },
}
HEADING = re.compile(r"^(?P<heading>#{1,6} .*?)[ \t]*\{:?[ \t]*#(?P<id>[\w.-]+)[^}\n]*\}[ \t]*$", re.MULTILINE)
ATTRIBUTES = re.compile(r"[ \t]*\{:?[ \t]*[.#][\w.-][^}\n]*\}")
ADMONITION = re.compile(
    r'^(?:!!!|\?\?\?\+?) \w+(?: +"(?P<title>[^"]*)")?[ ]*\n(?P<body>(?:(?: {4}.*)?\n)*)', re.MULTILINE
)
FOOTNOTE = re.compile(r"\[\^(\w+)\]:?")
LINK = re.compile(r"\]\((?P<target>[^)\s:]+?)(?P<rest>#[^)\s]*)?\)")
MATH = re.compile(
    r"(?P<code><(?P<tag>pre|code)\b.*?</(?P=tag)>)|\$\$(?P<display>[^$]+)\$\$|(?<!\\)\$(?P<inline>[^$\n]+)\$", re.DOTALL
)
PROSE = re.compile(r'(?<=<section class="notebook-prose">)(.*?)(?=</section>)', re.DOTALL)


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
    done: set[tuple[Path, str]] = field(default_factory=set)
    prose: str = ""

    def read(self, markdown: str) -> None:
        """Takes in a page from start to end."""
        at = 0
        for construct in constructs(markdown):
            self.prose += markdown[at : construct.start]
            at = construct.end
            if construct.kind == "cell":
                self._cell(shown.read_shown(self.root, construct.body))
            else:
                self.prose += self._words(construct, markdown)
        self.prose += markdown[at:]
        self._flush()

    def _words(self, construct: Construct, markdown: str) -> str:
        """A construct as plain Markdown."""
        match construct.kind:
            case "value" if construct.body == "time":
                return shown.run_time(shown.page_scripts(self.root, markdown), self.language)
            case "value":
                return shown.read_value(self.root, construct.body)
            case "citation":
                return citations.label(self.root, construct.body, self.language)
            case "list":
                cited = citations.cited(self.root, markdown)
                return "\n".join(f"- {work.markdown(self.language)}" for work in cited)
            case "exercise":
                exercise, words = read_exercise(self.root, construct.body), WORDS[self.language]
                check = f"{words['check']}\n\n```bash\n{exercise.command}\n```"
                answer = (
                    f"<details><summary>{words['answer']}</summary>\n\n```python\n{exercise.answer}\n```\n\n</details>"
                )
                return f"```python\n{exercise.task}\n```\n\n{check}\n\n{answer}"
            case "comment":
                return ""
            case _:
                return markdown[construct.start : construct.end]

    def _cell(self, cell: shown.Shown) -> None:
        if shown.is_long(cell.script):
            self.prose += f"```python\n{cell.cell.code}\n```\n"
            return
        self._flush()
        names = [each.name for each in cell.script.cells]
        for before in cell.script.cells[: names.index(cell.cell.name) + 1]:
            self._code(cell.script, before, cell.alt if before is cell.cell else "")
        if cell.caption:
            self.prose += f"*{self._caption(cell.caption)}*"

    def _caption(self, caption: str) -> str:
        pieces, at = [], 0
        for construct in constructs(caption):
            pieces += [caption[at : construct.start], self._words(construct, caption)]
            at = construct.end
        return "".join(pieces) + caption[at:]

    def _code(self, script: Script, cell: Cell, alt: str) -> None:
        if (script.path, cell.name) in self.done:
            return
        self.done.add((script.path, cell.name))
        outputs = [nbformat.from_dict(output) for output in read_recording(script).outputs[cell.name]]
        for output in outputs:
            if alt and shown.figure(output):
                output.metadata["alt"] = alt
        self.cells.append(new_code_cell(cell.code, id=f"{script.path.stem}-{cell.name}"[:64], outputs=outputs))

    def _flush(self) -> None:
        """Closes the Markdown cell that is being collected."""
        text, ids = self.prose, HEADING.findall(self.prose)
        text = ADMONITION.sub(_quote, text)
        text = ATTRIBUTES.sub("", HEADING.sub(r"\g<heading>", text))
        text = FOOTNOTE.sub(r"<sup>\1</sup>", text)
        text = LINK.sub(lambda match: f"]({self._target(match['target'], match['rest'] or '')})", text).strip()
        if text:
            metadata = {"ids": [name for _, name in ids]}
            self.cells.append(new_markdown_cell(text, id=f"prose-{len(self.cells)}", metadata=metadata))
        self.prose = ""

    def _target(self, target: str, rest: str) -> str:
        if target.startswith(("#", "/")):
            return self.resolve("") + target if target.startswith("#") else target
        return self.resolve(target) + rest


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
    notebook, words = Notebook(root, language, resolve), WORDS[language]
    notebook.read(markdown)
    arguments = " ".join(f'"{argument}"' for argument in install)
    first = [
        new_markdown_cell(words["page"].format(url=resolve("")), id="about", metadata={"ids": []}),
        new_code_cell(INSTALL.format(comment=words["install"], arguments=arguments), id="install"),
    ]
    head, *rest = notebook.cells
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "title": language}
    return new_notebook(cells=[head, *first, *rest], metadata=metadata)


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Writes a notebook, unless the very same is there already."""
    text = nbformat.writes(notebook) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def heading_ids(path: Path) -> Iterator[str]:
    """Ids of the headings in a notebook that :func:`write` wrote, in order."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield from cell["metadata"].get("ids", [])


def with_formulas(page: str) -> str:
    """Turns the formulas in the prose of a notebook's HTML into MathML."""
    return PROSE.sub(lambda section: MATH.sub(_mathml, section[1]), page)


def _mathml(match: re.Match[str]) -> Any:
    if match["code"]:
        return match[0]
    tex = html.unescape(match["display"] or match["inline"])
    kind = 'math math-display" tabindex="0' if match["display"] else "math"
    return f'<span class="{kind}">{formulas.mathml(tex, display=bool(match["display"]))}</span>'
