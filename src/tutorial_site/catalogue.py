"""Docstrings in Chinese, from one gettext catalogue keyed by the English text.

A message is a paragraph, or the description of an argument, a return value or an error. Doctests,
names and types are not translated. MkDocs uses the catalogue through ``Translated``, an extension of Griffe.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import griffe
from babel.messages.pofile import read_po

from tutorial_site.repository import files, read

CATALOGUE = Path("src/tutorial_site/locale/zh/docstrings.po")
SHOWN = re.compile(r"^::: (\S+)", re.MULTILINE)
LAID_OUT = re.compile(r"^\s*([*|-]|\d+\.|```) ?", re.MULTILINE)  # lists, tables and code keep their line ends


def read_catalogue(path: Path) -> dict[str, str]:
    """English text to Chinese text."""
    with path.open("rb") as file:
        messages = list(read_po(file, locale="zh"))
    return {str(each.id): str(each.string) for each in messages if each.id and each.string and not each.fuzzy}


class Translated(griffe.Extension):
    """Replaces what docstrings say by its translation, where the catalogue has one."""

    def __init__(self, language: str = "en") -> None:
        path = Path(__file__).parent / CATALOGUE.relative_to("src/tutorial_site")
        self.messages = read_catalogue(path) if language == "zh" else {}

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe calls this for each object it has read."""
        if not obj.is_alias and obj.docstring:
            obj.docstring.__dict__["parsed"] = translated(obj, lambda text: self.messages.get(text, text))


def problems(root: Path) -> list[str]:
    """Names every message of the API pages without a translation, and every translation without its message."""
    path = root / CATALOGUE
    known, messages = read_catalogue(path) if path.is_file() else {}, shown_messages(root)
    missing = [message for message in messages if message not in known]
    stale = [message for message in known if message not in messages]
    return [f"{messages[message]}: no Chinese text for {message!r} in {path.name}" for message in missing] + [
        f"{path.name}: translates {message!r}, which no docstring says" for message in stale
    ]


def shown_messages(root: Path) -> dict[str, str]:
    """The messages of all objects that the API pages show, with the place of the first object that says each."""
    messages: dict[str, str] = {}
    for page in files(root, "docs/en/api/*.md"):
        for name in SHOWN.findall(read(page)):
            package, *path = name.split(".")
            loaded = griffe.load(package, search_paths=[root / "src"], resolve_aliases=True)
            for obj in _public(loaded[path] if path else loaded):
                place = f"{Path(str(obj.filepath)).relative_to(root)}:{obj.docstring.lineno if obj.docstring else 1}"
                translated(obj, partial(lambda place, text: messages.setdefault(text, place), place))
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
