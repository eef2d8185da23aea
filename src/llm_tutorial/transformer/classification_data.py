"""Two tasks of many classes: which package a sentence of documentation describes, and which language a name is in.

* ``package_texts``: one-sentence summaries of Python, numpy, scipy and scikit-learn with the package they belong to;
* ``language_texts``: names of territories, languages and currencies as the Unicode CLDR has them (through Babel).
"""

import hashlib
import random
from collections import Counter, defaultdict
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.localedata import locale_identifiers

from llm_tutorial.data.documentation import LIBRARIES, documented_objects
from llm_tutorial.data.splits import SPLITS, check_split, key_of, split_of

OPENING = 20  # letters and digits: sentences that open alike are versions of one and belong to one split
FEWEST = 60  # texts of a class
FEWEST_NAMES, MOST_NAMES = 600, 300  # names of a locale that takes part; of those, what a split keeps
NO_LOCALES = ("root", "no", "ht")  # no language; another name of nb; written with the names of French


class Text(NamedTuple):
    """A text and the name of its class."""

    text: str
    label: str


def package_texts(split: str = "train") -> list[Text]:
    """Summaries of documented objects, each with its package, in a fixed mixed order.

    The package is the first part of a module of Python (``tkinter``) and the first two of one of the other libraries
    (``scipy.stats``); private ones and those with fewer than 60 summaries are left out, and so are summaries that
    stand in two packages.

    Args:
        split: ``train`` (six tenths), ``validation`` or ``test`` (two tenths each); a sentence belongs to one by the
            hash of its opening.

    Raises:
        ValueError: An unknown split.

    Example:
        >>> {split: len(package_texts(split)) for split in ("train", "validation", "test")}
        {'train': 2530, 'validation': 804, 'test': 833}
        >>> package_texts("test")[2]
        Text(text='Zero-one classification loss.', label='sklearn.metrics')
    """
    check_split(split)
    return list(_packages()[split])


def package_labels() -> list[str]:
    """The packages, sorted: the number of a class is its place.

    Example:
        >>> len(package_labels())
        32
    """
    return sorted({text.label for text in _packages()["train"]})


def language_texts(split: str = "train") -> list[Text]:
    """Names from the CLDR, each in one locale only, in a fixed mixed order.

    What a name stands for (``FR``) belongs to one split in all languages. Left out are names that are written alike in
    two locales, those shorter than three characters, and what a locale has not translated.

    Args:
        split: ``train``, ``validation`` or ``test``.

    Raises:
        ValueError: An unknown split.

    Example:
        >>> {split: len(language_texts(split)) for split in ("train", "validation", "test")}
        {'train': 36487, 'validation': 8826, 'test': 9821}
    """
    check_split(split)
    return list(_languages()[split])


def language_labels() -> list[str]:
    """Codes of the locales, sorted.

    Example:
        >>> len(language_labels())
        126
    """
    return sorted({text.label for text in _languages()["train"]})


@cache
def _packages() -> dict[str, list[Text]]:
    labels = defaultdict[str, set[str]](set)
    texts: dict[str, str] = {}
    for library in LIBRARIES:
        for documented in (found for split in SPLITS for found in documented_objects(split, library, 0)):
            package = _package(library, documented.module)
            if not package:
                continue
            key = key_of(documented.summary)
            labels[key].add(package)
            texts.setdefault(key, documented.summary)
    alone = {key: next(iter(found)) for key, found in labels.items() if len(found) == 1}
    counts = Counter(alone.values())
    by_split: dict[str, list[Text]] = {split: [] for split in SPLITS}
    for key in _mixed([key for key, label in alone.items() if counts[label] >= FEWEST]):
        place = int.from_bytes(hashlib.sha256(key[:OPENING].encode()).digest()[:8]) % 10
        by_split["train" if place < 6 else "validation" if place < 8 else "test"].append(Text(texts[key], alone[key]))
    return by_split


def _package(library: str, module: str) -> str:
    """The public package of a module; nothing where it is private, or so general that it says little."""
    depth = 1 if library == "python" else 2
    parts = module.split(".")[:depth]
    general = len(parts) < depth or parts[-1].startswith("_") or parts[-1] in ("lib", "builtins")
    return "" if general else ".".join(parts)


@cache
def _languages() -> dict[str, list[Text]]:
    names = {code: _names(code) for code in locale_identifiers() if "_" not in code and code not in NO_LOCALES}
    names = {code: found for code, found in names.items() if len(found) >= FEWEST_NAMES}
    locales = Counter(key for found in names.values() for key in {text.lower() for text in found.values()})
    by_split: dict[str, list[Text]] = {split: [] for split in SPLITS}
    for code, found in sorted(names.items()):
        texts, kept = dict[str, str](), defaultdict[str, list[str]](list)
        for thing, text in sorted(found.items()):
            if locales[text.lower()] == 1 and len(text) >= 3 and text.lower() not in texts:
                texts[text.lower()] = text
                kept[split_of(thing)].append(text.lower())
        for split in SPLITS:
            by_split[split] += [Text(texts[key], code) for key in _mixed(kept[split])[:MOST_NAMES]]
    assert not {t.text.lower() for t in by_split["train"]} & {t.text.lower() for t in by_split["test"]}
    return {split: [texts[place] for place in _order(len(texts))] for split, texts in by_split.items()}


def _names(code: str) -> dict[str, str]:
    """What a locale calls territories, languages and currencies, by a key that all locales share."""
    locale, english = Locale(code), Locale("en")
    found = {}
    for kind in ("territories", "languages", "currencies"):
        known = getattr(english, kind)
        for key, text in getattr(locale, kind).items():
            if text != key and (code == "en" or text != known.get(key)):
                found[f"{kind} {key}"] = text
    return found


def _mixed(keys: list[str]) -> list[str]:
    """Keys in a fixed mixed order."""
    keys = sorted(keys)
    return [keys[place] for place in _order(len(keys))]


def _order(count: int) -> list[int]:
    order = list(range(count))
    random.Random(0).shuffle(order)
    return order
