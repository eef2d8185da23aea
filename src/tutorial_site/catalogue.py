"""Docstrings in Chinese, from one gettext catalogue keyed by the English text.

A message is a paragraph, or the description of an argument, a return value or an error. Doctests,
names and types are not translated. MkDocs uses the catalogue through ``Translated``, an extension of Griffe.
"""

import functools
import re
from collections.abc import Callable, Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import griffe
from babel.messages.pofile import read_po

CATALOGUE = Path(__file__).parent / "locale" / "zh" / "docstrings.po"
SHOWN = re.compile(r"^::: (\S+)", re.MULTILINE)
LAID_OUT = re.compile(r"^\s*([*|-]|\d+\.|```) ?", re.MULTILINE)  # lists, tables and code keep their line ends


def read_catalogue(path: Path = CATALOGUE) -> dict[str, str]:
    """English text to Chinese text."""
    return _parse(path.read_text(encoding="utf-8"))


@cache
def _parse(text: str) -> dict[str, str]:
    catalogue = read_po(StringIO(text), locale="zh")
    return {
        str(message.id): str(message.string)
        for message in catalogue
        if message.id and message.string and not message.fuzzy
    }


class Translated(griffe.Extension):
    """Replaces what docstrings say by its translation, where the catalogue has one."""

    def __init__(self, language: str = "en") -> None:
        self.messages = read_catalogue() if language == "zh" else {}

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe calls this for each object it has read."""
        if not obj.is_alias and obj.docstring:
            sections = parse(obj)
            _map(sections, lambda text: self.messages.get(text, text))
            obj.docstring.__dict__["parsed"] = sections


def parse(obj: griffe.Object) -> list[griffe.DocstringSection]:
    """Sections of a Google docstring; a lone example counts as examples."""
    docstring = griffe.Docstring(
        re.sub(r"^Example:$", "Examples:", obj.docstring.value if obj.docstring else "", flags=re.MULTILINE), parent=obj
    )
    return docstring.parse("google", warnings=False)


def missing_and_stale(root: Path) -> list[str]:
    """Names every message of the API pages without a translation, and every translation without its message."""
    path = root / "src" / "tutorial_site" / "locale" / "zh" / "docstrings.po"
    translated, messages = read_catalogue(path) if path.is_file() else {}, shown_messages(root)
    return [
        f"{place}: no Chinese text for {message!r} in {path.name}"
        for message, place in messages.items()
        if message not in translated
    ] + [
        f"{path.name}: translates {message!r}, which no docstring says"
        for message in translated
        if message not in messages
    ]


def shown_messages(root: Path) -> dict[str, str]:
    """The messages of all objects that the API pages show, with the place of the first object that says each."""
    names = [
        name
        for page in sorted(root.glob("docs/en/api/*.md"))
        for name in SHOWN.findall(page.read_text(encoding="utf-8"))
    ]
    messages: dict[str, str] = {}
    if not names:
        return messages
    package = griffe.load(names[0].split(".")[0], search_paths=[root / "src"], resolve_aliases=True)

    def note(text: str, obj: griffe.Object) -> str:
        messages.setdefault(
            text, f"{Path(str(obj.filepath)).relative_to(root)}:{obj.docstring.lineno if obj.docstring else 1}"
        )
        return text

    for name in names:
        path = name.split(".")[1:]
        for obj in _public(package[path] if path else package):
            _map(parse(obj), functools.partial(note, obj=obj))
    return messages


def _public(obj: griffe.Object | griffe.Alias) -> Iterator[griffe.Object]:
    target = obj.final_target if isinstance(obj, griffe.Alias) else obj
    if target.docstring:
        yield target
    for name, member in target.members.items():
        shown = name in target.exports if target.exports is not None else not member.is_alias
        if shown and not name.startswith("_") and not member.is_module:
            yield from _public(member)


def _map(sections: list[griffe.DocstringSection], translate: Callable[[str], str]) -> None:
    """Puts ``translate(text)`` in place of each text of a docstring."""
    for section in sections:
        match section.value:
            case str(text):
                section.value = "\n\n".join(_words(paragraph, translate) for paragraph in text.split("\n\n"))
            case [(_, str()), *_] as examples:
                section.value = [
                    (kind, _words(text, translate) if kind.value == "text" else text) for kind, text in examples
                ]
            case list(elements):
                for element in elements:
                    element.description = _words(element.description, translate)
            case griffe.DocstringElement() as element:
                element.description = _words(element.description, translate)


def _words(text: str, translate: Callable[[str], str]) -> str:
    if not text.strip() or text.startswith("    ") or text.lstrip().startswith(">>>"):  # code
        return text
    return translate(text.strip() if LAID_OUT.search(text) else " ".join(text.split()))
