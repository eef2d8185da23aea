"""Docstrings in Chinese, from gettext catalogues keyed by the English text.

A message is a paragraph, or the description of an argument, a return value or an error. Doctests,
names and types are not translated. Each chapter's library has its own catalogue, and so has the floor
that they share. MkDocs uses them through ``Translated``, an extension of Griffe.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import griffe
from babel.messages.pofile import read_po

from tutorial_site.repository import files, read

CATALOGUES = Path("src/tutorial_site/locale/zh")
FLOOR = "floor"
SHOWN = re.compile(r"^::: (\S+)", re.MULTILINE)
LAID_OUT = re.compile(r"^\s*([*|-]|\d+\.|```) ?", re.MULTILINE)  # lists, tables and code keep their line ends


def read_catalogue(path: Path) -> dict[str, str]:
    """English text to Chinese text; nothing where there is no such file."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        messages = list(read_po(file, locale="zh"))
    return {str(each.id): str(each.string) for each in messages if each.id and each.string and not each.fuzzy}


class Translated(griffe.Extension):
    """Replaces what docstrings say by its translation, where the catalogue has one."""

    def __init__(self, language: str = "en") -> None:
        folder = Path(__file__).parent / CATALOGUES.relative_to("src/tutorial_site")
        self.messages: dict[str, str] = {}
        for path in sorted(folder.glob("*.po")) if language == "zh" else []:
            self.messages |= read_catalogue(path)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe calls this for each object it has read."""
        if not obj.is_alias and obj.docstring:
            obj.docstring.__dict__["parsed"] = translated(obj, lambda text: self.messages.get(text, text))


def problems(root: Path) -> Iterator[str]:
    """Names every message of the API pages without a translation, and every translation without its message."""
    shown = shown_messages(root)
    known = {name: read_catalogue(root / CATALOGUES / f"{name}.po") for name in (FLOOR, *_chapters(root))}
    everywhere = set[str]().union(*known.values())
    for name, messages in known.items():
        for message, place in shown[name].items():
            if message not in everywhere:
                yield f"{place}: no Chinese text for {message!r} in {name}.po"
        for message in messages:
            if message not in shown[name]:
                other = next((f"; it belongs to {other}.po" for other in shown if message in shown[other]), "")
                yield f"{name}.po: translates {message!r}, which no docstring of its says{other}"


def _chapters(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.glob("snippets/*") if folder.is_dir())


def shown_messages(root: Path) -> dict[str, dict[str, str]]:
    """By catalogue: the messages of all objects that the API pages show, each with the place that says it first."""
    messages = defaultdict[str, dict[str, str]](dict)
    loader, chapters = griffe.GriffeLoader(search_paths=[root / "src"]), _chapters(root)  # reads each package once
    for page in files(root, "docs/en/api/*.md"):
        for name in SHOWN.findall(read(page)):
            package = name.split(".")[0]
            if package not in loader.modules_collection:
                loader.load(package)
                loader.resolve_aliases()
            for obj in _public(loader.modules_collection[name]):
                file = Path(str(obj.filepath)).relative_to(root)
                folder = file.parts[2]
                place = f"{file.as_posix()}:{obj.docstring.lineno if obj.docstring else 1}"
                mine = messages[folder if folder in chapters else FLOOR]
                translated(obj, partial(lambda mine, place, text: mine.setdefault(text, place), mine, place))
    return messages


def _public(obj: griffe.Object | griffe.Alias) -> Iterator[griffe.Object]:
    target = obj.final_target if isinstance(obj, griffe.Alias) else obj
    if target.docstring:
        yield target
    for name, member in target.members.items():
        shown = name in target.exports if target.exports is not None else not member.is_alias
        if shown and not name.startswith("_") and not member.is_module:
            yield from _public(member)


def translated(obj: griffe.Object, translate: Callable[[str], str]) -> list[griffe.DocstringSection]:
    """Sections of a Google docstring with ``translate(text)`` for each text; a lone example counts as examples."""
    text = obj.docstring.value if obj.docstring else ""
    docstring = griffe.Docstring(re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE), parent=obj)

    def words(text: str) -> str:
        if not text.strip() or text.startswith("    ") or text.lstrip().startswith(">>>"):  # code
            return text
        return translate(text.strip() if LAID_OUT.search(text) else " ".join(text.split()))

    sections = docstring.parse("google", warnings=False)
    for section in sections:
        match section.value:
            case str(text):
                section.value = "\n\n".join(map(words, text.split("\n\n")))
            case [(_, str()), *_] as examples:
                section.value = [(kind, words(text) if kind.value == "text" else text) for kind, text in examples]
            case list(elements):
                for element in elements:
                    element.description = words(element.description)
            case griffe.DocstringElement() as element:
                element.description = words(element.description)
    return sections
