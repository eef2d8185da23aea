"""Messages of software in English and Chinese, translated by people, with the messages around them as context.

They are read from the gettext catalogues of JupyterLab's language pack, Spyder, Wagtail, Sphinx and Django. What to
know about them:

* most are short, and many hold placeholders (``%(count)d``, ``{name}``, ``%1``), HTML or a key to press (``&Save``);
* a catalogue follows the source code, so that neighbours belong together; JupyterLab's come compiled, which sorts
  them by the alphabet: their neighbours look alike instead;
* of a message with a singular and a plural, the plural is the English, as Chinese has one form for both;
* left out are messages that are untranslated, uncertain (fuzzy), without a Chinese character, or whose translation has
  other placeholders; a pair that stands in several places is kept once;
* the same English may have several translations, in other places.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from llm_tutorial.data.catalogues import CATALOGUES
from llm_tutorial.data.splits import check_split, key_of, split_of
from llm_tutorial.fetch import fetch

PLACEHOLDER = re.compile(r"%\(\w+\)[-#0 +]*[\d.]*[a-zA-Z]|%[-#0+]*[\d.]*[a-zA-Z]|%\d+|\{\w*\}")
CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Message:
    """A message and its translation.

    Attributes:
        english: The message, without spaces around it.
        chinese: Its translation, without spaces around it.
        catalogue: Catalogue that it stands in, such as ``django/contrib/auth/django``.
        index: Place in the catalogue, counted with the entries that are left out.
    """

    english: str
    chinese: str
    catalogue: str
    index: int


def messages(split: str = "train") -> list[Message]:
    """All messages of a split, in the order of the catalogues.

    Args:
        split: ``train``, ``validation`` or ``test``; a message belongs to one of them by the hash of its English
            letters and digits, so that none is in two of them, ``&Save`` and ``Save…`` no more than ``Save``.

    Raises:
        ValueError: An unknown split.
        FetchError: A catalogue can be neither found in the cache nor downloaded.

    Example:
        >>> {split: len(messages(split)) for split in ("train", "validation", "test")}
        {'train': 6455, 'validation': 736, 'test': 838}
        >>> messages("test")[0]
        Message(english='Download As', chinese='下载为', catalogue='jupyterlab_language_pack_zh_CN/jupyter_archive', index=1)
    """
    check_split(split)
    return [message for message in _messages() if split_of(key_of(message.english)) == split]


def neighbours(message: Message, count: int = 2) -> list[Message]:
    """Messages beside one in its catalogue, in order: at most ``count`` before it and ``count`` after it.

    All of them belong to ``train``, so that no translation of another split is ever shown, and none is another
    wording of the message itself.

    Args:
        message: A message of any split.
        count: How many on either side.

    Raises:
        ValueError: A count below 1.

    Example:
        >>> message = next(message for message in messages("test") if message.english.startswith("Title complete"))
        >>> [(near.index - message.index, near.english) for near in neighbours(message, 1)]
        [(-1, 'Description complete; thanks!'), (1, 'Browse tabs')]
    """
    if count < 1:
        raise ValueError(f"at least 1 neighbour on either side, not {count}")
    key = key_of(message.english)
    near = [other for other_key, other in _training()[message.catalogue] if other_key != key]
    before = [other for other in near if other.index < message.index]
    after = [other for other in near if other.index > message.index]
    return [*before[-count:], *after[:count]]


@cache
def _messages() -> tuple[Message, ...]:
    """All messages, each pair once, where it stands first."""
    found = dict[tuple[str, str], Message]()
    for source in CATALOGUES:
        folder = fetch(source)
        for member, name in source.names.items():
            catalogue = re.sub(r"/locale/\w+/LC_MESSAGES|\.[mp]o$", "", member)
            entries = [entry for entry in _read(folder / name) if entry.id]  # the one without an id is the header
            for index, entry in enumerate(entries):
                if pair := _pair(entry):
                    found.setdefault(pair, Message(*pair, catalogue, index))
    return tuple(found.values())


@cache
def _training() -> dict[str, list[tuple[str, Message]]]:
    """The messages of ``train`` by catalogue, each after its key."""
    by_catalogue = defaultdict[str, list[tuple[str, Message]]](list)
    for message in messages("train"):
        by_catalogue[message.catalogue].append((key_of(message.english), message))
    return by_catalogue


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_mo(file) if path.suffix == ".mo" else read_po(file)


def _pair(entry: Entry) -> tuple[str, str] | None:
    """English and Chinese of an entry, or None where it is of no use.

    Example:
        >>> _pair(Entry(("%(n)d file", "%(n)d files"), ("%(n)d 个文件",)))
        ('%(n)d files', '%(n)d 个文件')
        >>> _pair(Entry("%(n)d files", "很多文件"))
    """
    english = entry.id if isinstance(entry.id, str) else entry.id[-1]
    forms = [entry.string] if isinstance(entry.string, str) else entry.string or []
    if entry.fuzzy or len(forms) != 1 or not CHINESE.search(forms[0]) or not key_of(english):
        return None
    chinese = forms[0]
    if english == chinese or sorted(PLACEHOLDER.findall(english)) != sorted(PLACEHOLDER.findall(chinese)):
        return None
    return english.strip(), chinese.strip()
