"""What a page takes from `snippets/`: cells, recorded values, the time that they take, exercises."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from tutorial_site import SiteError, nearest
from tutorial_site.cells import Cell, Script, read_script
from tutorial_site.page import constructs, replace
from tutorial_site.recording import SECONDS, Output, figure, read_recording
from tutorial_site.repository import files, is_long, read

CELL = re.compile(r"(?P<path>[\w./-]+)#(?P<name>\w+)(?P<options>.*)", re.DOTALL)
OPTION = re.compile(r'\s+(\w+)=(?:"([^"]*)"|([^\s"]+))')
KNOWN = 'output=only, output=hide, code=fold, code=show, title="…", alt="…", caption="…"'
OPTIONS = {"output": ("only", "hide"), "code": ("fold", "show"), "title": (), "alt": (), "caption": ()}
VALUE = re.compile(r"(?P<path>[\w./-]+)#(?P<name>\w+)(?::(?P<format>\S+))?")
QUESTION = re.compile(  # the docstring of a skeleton
    r'"""(?P<en>(?:(?!""").)+?)\n\s*\n(?P<zh>(?:(?!"""|\n\s*\n).)*[\u4e00-\u9fff](?:(?!"""|\n\s*\n).)*)"""', re.DOTALL
)
BREAK = re.compile(r"(?<=[^ -~])\s*\n\s*|\s*\n\s*(?=[^ -~])")  # of a line beside a Chinese character
SCALES = {"万": 1e4, "亿": 1e8, "k": 1e3, "M": 1e6, "B": 1e9}
SCALED = re.compile(rf",?(\.\d+)?[{''.join(SCALES)}]")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Shown:
    """A cell as a page shows it."""

    script: Script
    cell: Cell
    outputs: list[Output]
    code: str  # "show", "fold" or "hide"
    title: str  # of the fold, where the page says it
    draws: bool
    alt: str
    caption: str


def find_script(root: Path, name: str) -> Script:
    """The script at a path under ``snippets/``."""
    return read_script(_find(root, name, "script", "*/*.py"))


def _find(root: Path, name: str, what: str, pattern: str) -> Path:
    if (path := root / "snippets" / name).match(f"snippets/{pattern}") and path.is_file():
        return path
    every = [path.relative_to(root / "snippets").as_posix() for path in files(root, f"snippets/{pattern}")]
    raise SiteError(f"no {what} snippets/{name}{nearest(name, every)}")


def read_shown(root: Path, body: str) -> Shown:
    """Finds the cell of ``{* lora/low_rank.py#adapter output=only alt="…" *}`` and what it printed.

    Raises:
        SiteError: Script, cell or option unknown; no recording; a figure without an alt text.
    """
    if not (match := CELL.fullmatch(body)):
        raise SiteError(f"a cell reads {{* lora/low_rank.py#name *}}, not {body!r}")
    script, options = find_script(root, match["path"]), _options(match["options"])
    names, place = [cell.name for cell in script.cells], f"snippets/{match['path']}: cell {match['name']!r}"
    if match["name"] not in names:
        raise SiteError(f"snippets/{match['path']} has no cell {match['name']!r}{nearest(match['name'], names)}")
    cell, long = script[match["name"]], is_long(script.path)
    output, alt = options.get("output", "hide" if long else ""), options.get("alt", "")
    if long and output != "hide":
        raise SiteError(f"{place} belongs to a long run, which records no output")
    recorded = [] if long else read_recording(script).outputs[cell.name]
    outputs, draws = [] if output == "hide" else recorded, any(map(figure, recorded))
    figures = sum(map(bool, map(figure, outputs)))
    for wrong, why in (
        (cell.hidden, "is for the script and the notebook (hidden or values); no page shows it"),
        (output == "only" and not outputs, "printed and drew nothing"),
        (figures > 1, f"draws {figures} figures; one alt text describes one"),
        (figures and not alt.strip(), 'draws a figure; it needs alt="…"'),
        (alt and not figures, "draws no figure; alt says nothing"),
        (options.get("caption") and not outputs, "shows no output; caption says nothing"),
    ):
        if wrong:
            raise SiteError(f"{place} {why}")
    code = "hide" if output == "only" else options.get("code", "fold" if draws else "show")
    words = replace(alt, lambda construct: read_value(root, construct.body))  # nothing but values stands in one
    return Shown(script, cell, outputs, code, options.get("title", ""), draws, words, options.get("caption", ""))


def _options(text: str) -> dict[str, str]:
    options = {name: quoted or bare for name, quoted, bare in OPTION.findall(text)}
    if rest := OPTION.sub("", text).strip():
        raise SiteError(f"cannot read {rest!r}; options are {KNOWN}")
    for name, value in options.items():
        if name not in OPTIONS:
            raise SiteError(f"unknown option {name!r}{nearest(name, OPTIONS)}")
        if OPTIONS[name] and value not in OPTIONS[name]:
            raise SiteError(f"{name}={value}: must be {' or '.join(OPTIONS[name])}")
    return options


def value(root: Path, body: str, markdown: str, language: str) -> str:
    """What a page shows for ``{= … =}``: a recorded value, or for ``time`` the class of its run time."""
    return run_time(page_scripts(root, markdown), language) if body == "time" else read_value(root, body)


def read_value(root: Path, body: str) -> str:
    """The recorded value of ``lora/low_rank.py#trainable_percent:.1f``, as prose shows it.

    Raises:
        SiteError: No such value (names the nearest), or a format that does not fit it.
    """
    if not (match := VALUE.fullmatch(body)):
        raise SiteError(f"a value reads {{= lora/low_rank.py#name =}}, perhaps with a format, #name:.1f, not {body!r}")
    script, name, place = find_script(root, match["path"]), match["name"], f"snippets/{match['path']}"
    if is_long(script.path):
        raise SiteError(f"{place} is a long run; print the value in a quick script and take it from there")
    recording = read_recording(script)
    values = [(cell, *item) for cell in recording.outputs for item in recording.values(cell).items()]
    found = {cell: value for cell, key, value in values if key == name}
    if not found:
        raise SiteError(f"{place} prints no value {name!r}{nearest(name, [key for _, key, _ in values])}")
    if len(found) > 1:
        raise SiteError(f"{place}: value {name!r} is printed by cells {' and '.join(found)}")
    [value] = found.values()
    return format_value(value, match["format"] or "")


def format_value(text: str, form: str = "") -> str:
    """A recorded text as prose shows it.

    Args:
        text: What was printed.
        form: A format of Python's; or ``%`` for per cent with three digits; or ``.2亿``, ``.1M`` and
            the like for a number in units of 万, 亿, k, M or B.

    >>> format_value("0.02753", "%"), format_value("134515008", ".2亿"), format_value("-1234.5", ",.0f")
    ('2.75%', '1.35 亿', '−1,234')
    >>> format_value("2e-3"), format_value("bfloat16")
    ('2×10⁻³', 'bfloat16')
    """
    if not form:
        return _typeset(text)
    try:
        number = float(text.replace(",", "").rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise SiteError(f"the value {text!r} is not a number and takes no format") from None
    if form == "%":
        return _typeset(f"{100 * number:.3g}%")
    unit = ""
    if SCALED.fullmatch(form):
        form, unit = form[:-1] + ("f" if "." in form else "g"), form[-1]
        number /= SCALES[unit]
    elif re.fullmatch(r"[-+\d,]+", text):
        number = int(number)
    try:
        return _typeset(format(number, form)) + (f" {unit}" if unit in ("万", "亿") else unit)
    except ValueError as error:
        raise SiteError(f"format {form!r}: {error}") from None


def _typeset(text: str) -> str:
    """A number with a true minus and power of ten; other text as it stands."""
    text = re.sub(r"^-(?=[\d.])", "−", text)
    power = re.fullmatch(r"([−\d.,]+)e([+-]?\d+)", text)
    return f"{power[1]}×10{str(int(power[2])).translate(SUPERSCRIPT)}" if power else text


def page_scripts(root: Path, markdown: str) -> list[Script]:
    """The quick scripts whose cells or values a page shows, in the order of their first mention."""
    bodies = [construct.body for construct in constructs(markdown) if construct.kind in ("cell", "value")]
    names = dict.fromkeys(body.split("#")[0] for body in bodies if "#" in body)
    return [script for script in (find_script(root, name) for name in names) if not is_long(script.path)]


def run_time(scripts: list[Script], language: str) -> str:
    """How long the scripts take together: "under 1 min", in Chinese "1 分钟以内"."""
    if not scripts:
        raise SiteError("the page shows no script, so no run time")
    seconds = sum(SECONDS[read_recording(script).metadata["time"]] for script in scripts)
    amount, unit = (seconds, 0) if seconds < 60 else (math.ceil(seconds / 60), 1)
    return f"{amount} {('秒', '分钟')[unit]}以内" if language == "zh" else f"under {amount} {('s', 'min')[unit]}"


@dataclass(frozen=True)
class Exercise:
    """What it asks, by language; code of the skeleton; the command that checks it, from the root; code of the solution."""

    question: dict[str, str]
    task: str
    command: str
    answer: str


def read_exercise(root: Path, body: str) -> Exercise:
    """Reads the files of ``{! lora/exercises/merge.py !}``: a skeleton to fill in, its checker, a solution.

    Raises:
        SiteError: A file is missing (names the nearest exercise that exists), or the question in a language.
    """
    skeleton = _find(root, body, "exercise", "*/exercises/*.py")
    checker, solution = skeleton.with_name(f"test_{skeleton.name}"), skeleton.parent / "solutions" / skeleton.name
    for path in (checker, solution):
        if not path.is_file():
            raise SiteError(f"exercise {body!r} lacks {path.relative_to(root).as_posix()}")
    task, answer = (
        re.sub(r"^# %%.*\n", "", read(path), flags=re.MULTILINE).strip("\n") for path in (skeleton, solution)
    )
    if not (match := QUESTION.match(task)):
        raise SiteError(f'exercise {body!r} opens with its question, """English paragraph, empty line, 中文段落"""')
    question = {"en": " ".join(match["en"].split()), "zh": BREAK.sub("", match["zh"].strip())}
    task = task[match.end() :].strip("\n")
    return Exercise(question, task, f"pytest {checker.relative_to(root).as_posix()}", answer)
