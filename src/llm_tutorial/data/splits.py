"""Splits by hash: the same on every machine, and no text in two of them."""

import hashlib
import unicodedata

SPLITS = ("train", "validation", "test")


def split_of(key: str) -> str:
    """The split that a key belongs to: eight in ten are ``train``, one is ``validation`` and one is ``test``.

    Example:
        >>> [split_of(key) for key in ("Save", "Open", "Undo")]
        ['train', 'train', 'test']
    """
    return {8: "validation", 9: "test"}.get(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % 10, "train")


def check_split(split: str) -> None:
    """Refuses what is not the name of a split.

    Raises:
        ValueError: There is no such split; the message names those there are.

    Example:
        >>> check_split("dev")
        Traceback (most recent call last):
        ValueError: unknown split 'dev'; there are train, validation, test
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")


def key_of(text: str) -> str:
    """What two wordings have in common: letters and digits, in lower case and of one width.

    Example:
        >>> key_of("＆Save as…（&A）") == key_of("Save As (A)")
        True
    """
    return "".join(char for char in unicodedata.normalize("NFKC", text).lower() if char.isalnum())
