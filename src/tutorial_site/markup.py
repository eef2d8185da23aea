"""The HTML of what a page shows: code, recorded outputs, cells, exercises. Notebook views have the same."""

import base64
import html
import re
import struct
from collections.abc import Sequence
from functools import cache

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from tutorial_site.figures import drawing
from tutorial_site.recording import Output, figure, text_of
from tutorial_site.shown import Exercise, Shown

WORDS = {
    "zh": {"code": "代码：", "and": "、", "check": "检查你的答案", "solution": "参考答案", "wide": "可以左右滚动"},
    "en": {
        "code": "code: ",
        "and": ", ",
        "check": "Check your answer",
        "solution": "Solution",
        "wide": "Scrolls sideways",
    },
}
FOLDS = {  # a word in the name of a cell: what its fold says where the page gives no title
    "setup": {"zh": "准备", "en": "set-up"},
    "data": {"zh": "数据", "en": "data"},
    "model": {"zh": "模型", "en": "model"},
    "train": {"zh": "训练", "en": "training"},
    "steps": {"zh": "训练步骤", "en": "steps of training"},
    "loss": {"zh": "损失", "en": "loss"},
    "prompts": {"zh": "提示词", "en": "prompts"},
    "table": {"zh": "制表", "en": "table"},
    "measure": {"zh": "测量", "en": "measuring"},
    "check": {"zh": "核对", "en": "checks"},
}
PLOT = {"zh": "绘图", "en": "plot"}
WIDE = 60  # characters in a line that may not fit a screen


def scrolls(text: str, language: str) -> str:
    """Attributes of a box that may scroll sideways, so that the keyboard reaches it."""
    wide = any(len(line) > WIDE for line in text.splitlines())
    return f' tabindex="0" role="group" aria-label="{WORDS[language]["wide"]}"' if wide else ""


@cache
def code_html(code: str, language: str = "python") -> str:
    """Highlighted code in the markup of pymdownx.highlight, which Material styles and gives a copy button."""
    tokens = highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
    return f'<div class="language-{language} highlight"><pre><span></span><code>{tokens}</code></pre></div>'


def folded(summary: str, content: str) -> str:
    """Content that a click unfolds."""
    return f'<details class="fold"><summary>{summary}</summary>\n{content}\n</details>'


def fold_title(cells: Sequence[Shown], language: str) -> str:
    """What a fold of these cells holds: "Set-up, plot", in Chinese "准备、绘图"."""
    title = WORDS[language]["and"].join(dict.fromkeys(_holds(cell, language) for cell in cells))
    return html.escape(title[0].upper() + title[1:])


def _holds(cell: Shown, language: str) -> str:
    """What the page says that a cell holds, else what the cell does, else what its name says."""
    named = next((FOLDS[word] for word in cell.cell.name.split("_") if word in FOLDS), None)
    words = PLOT if cell.draws else named
    return cell.title or (words[language] if words else WORDS[language]["code"] + cell.cell.name.replace("_", " "))


def exercise_html(exercise: Exercise, question: str, language: str) -> str:
    """An exercise: its question (HTML), its skeleton, the command that checks an answer, the folded solution."""
    words = WORDS[language]
    check = f"<p>{words['check']}</p>\n{code_html(exercise.command, 'text')}"
    solution = folded(words["solution"], code_html(exercise.answer))
    parts = (f'<p class="question">{question}</p>', code_html(exercise.task), check, solution)
    return "\n".join(['<div class="exercise">', *parts, "</div>"])


def cell_html(
    code: str, outputs: Sequence[Output], language: str, alt: str = "", caption: str = "", name: str = ""
) -> str:
    """A cell.

    Args:
        code: HTML of its code; may be empty.
        outputs: What it printed and drew.
        language: Of the page.
        alt: Text that stands for the figure.
        caption: HTML right under the figure, or under the last output where there is none.
        name: Where the code comes from.
    """
    shown = [output_html(output, language, alt) for output in outputs]
    captioned = next((place for place, output in enumerate(outputs) if figure(output)), len(outputs) - 1)
    if caption or any(map(figure, outputs)):
        below = f"\n<figcaption>{caption}</figcaption>" if caption else ""
        shown[captioned] = f"<figure>\n{shown[captioned]}{below}\n</figure>"
    source = f' data-cell="{name}"' if name else ""
    return "\n".join(filter(None, [f'<div class="cell"{source}>', code, *shown, "</div>"]))


def output_html(output: Output, language: str, alt: str) -> str:
    """A recorded output: a figure, a table or text."""
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if kind := figure(output):
        return image_html(kind, data[kind], alt)
    if "text/html" in data:
        return f'<div class="output-table"{scrolls("-" * 2 * WIDE, language)}>\n{table_html(data["text/html"])}\n</div>'
    text = text_of(output).rstrip()
    return f'<pre class="output"{scrolls(text, language)}>{html.escape(text, quote=False)}</pre>' if text else ""


def table_html(table: str) -> str:
    """A recorded table without styles, borders and empty headings of its own."""
    table = re.sub(r"<style.*?</style>", "", table, flags=re.DOTALL)
    table = re.sub(r"(<(?:table|thead|tbody|tr|th|td)\b)[^>]*?((?: (?:col|row)span=\"\d+\")*)\s*>", r"\1\2>", table)
    return table.replace("<th></th>", "<td></td>").strip()


def image_html(kind: str, data: str, alt: str) -> str:
    """A figure: as inline SVG in the colours of the page, a picture as ``<img>`` with its data inside."""
    if kind == "image/svg+xml":
        return drawing(data, alt)
    width, height = struct.unpack(">II", base64.b64decode(data)[16:24])
    source = f"data:{kind};base64,{''.join(data.split())}"
    return f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}">'
