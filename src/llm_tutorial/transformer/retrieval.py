"""Find passages by words, by meaning, or by both.

BM25 is that of Robertson and Zaragoza (2009), reciprocal rank fusion that of Cormack, Clarke and Büttcher (2009,
SIGIR). ``quoting`` answers from what was found, ``grounded`` judges the answers.
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.data.documentation import (
    DocumentationQuestion,
    Passage,
    documentation_questions,
    object_passages,
    reference_passages,
)

_WORDS = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)*|[\u4e00-\u9fff]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def corpus() -> list[Passage]:
    """All passages that are searched: the language reference and the docstrings of the standard library.

    Example:
        >>> passages = corpus()
        >>> len(passages), len({passage.id for passage in passages})
        (2158, 2158)
    """
    return [*reference_passages(), *object_passages()]


def questions() -> list[DocumentationQuestion]:
    """Questions written by hand for this tutorial, with all passages that answer them, or with an empty answer.

    Those of `documentation_questions` come first; 76 more, about other modules, were written for the page on retrieval.

    Example:
        >>> found = questions()
        >>> len(found), sum(bool(question.answer) for question in found)
        (244, 208)
    """
    first = [question for split in ("train", "validation", "test") for question in documentation_questions(split)]
    return [*first, *_more_questions()]


@cache
def _more_questions() -> tuple[DocumentationQuestion, ...]:
    entries = json.loads(files("llm_tutorial.data").joinpath("retrieval_questions.json").read_text("utf-8"))
    return tuple(DocumentationQuestion(**{**entry, "passages": tuple(entry["passages"])}) for entry in entries)


def searched(passage: Passage) -> str:
    r"""What is indexed of a passage: its heading and its text.

    >>> searched(Passage("f-0", "m", "m.f", "Does it."))
    'm.f\nDoes it.'
    """
    return f"{passage.heading}\n{passage.text}"


def terms(text: str) -> list[str]:
    """Words for BM25, in lower case: a name of code is split at dots, underscores and capitals.

    >>> terms("os.pathLike_name of 3.11")
    ['os', 'path', 'like', 'name', 'of', '3.11']
    """
    return [word.lower() for word in _WORDS.findall(_CAMEL.sub(" ", text))]


class BM25:
    """An index of texts by their words.

    Args:
        texts: What is searched.
        k1: How soon a repeated word stops counting.
        b: How much the length of a text counts.

    Raises:
        ValueError: There is no text.

    Example:
        >>> BM25(["a cat", "a dog and a dog", "the sun"]).search("dog")[:1]
        [1]
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        if not texts:
            raise ValueError("an index needs at least one text\n索引至少需要一段文本")
        bags = [Counter(terms(text)) for text in texts]
        mean = sum(bag.total() for bag in bags) / len(bags)
        holding = Counter(word for bag in bags for word in bag)
        self.size = len(bags)
        postings: dict[str, list[tuple[int, float]]] = {}
        for place, bag in enumerate(bags):
            length = k1 * (1 - b + b * bag.total() / mean)
            for word, count in bag.items():
                rarity = math.log(1 + (self.size - holding[word] + 0.5) / (holding[word] + 0.5))
                weight = rarity * count * (k1 + 1) / (count + length)
                postings.setdefault(word, []).append((place, weight))
        self.weights = {
            word: (torch.tensor([place for place, _ in found]), torch.tensor([weight for _, weight in found]))
            for word, found in postings.items()
        }

    def scores(self, query: str) -> Tensor:
        """Of every text, (texts,)."""
        found = torch.zeros(self.size)
        for word in sorted(set(terms(query)) & self.weights.keys()):
            places, weights = self.weights[word]
            found[places] += weights
        return found

    def search(self, query: str) -> list[int]:
        """All texts, the best first."""
        return ranked(self.scores(query))


def ranked(scores: Tensor) -> list[int]:
    """Places by falling score; of equal ones the earlier first.

    >>> ranked(torch.tensor([0.0, 2.0, 2.0]))
    [1, 2, 0]
    """
    return scores.sort(descending=True, stable=True).indices.tolist()


@torch.inference_mode()
def embed(
    encoder: nn.Module, tokenizer: Any, texts: Sequence[str], max_length: int = 256, batch_size: int = 32
) -> Tensor:
    """Unit vectors of texts: the mean of the encoder's last vectors (Reimers and Gurevych, 2019, arXiv:1908.10084).

    Args:
        encoder: Without a head.
        tokenizer: Its tokenizer.
        texts: What is to be found, or questions.
        max_length: Tokens read of a text; what follows is not seen.
        batch_size: Texts read at once; it changes the memory needed, not the result.

    Returns:
        (texts, width), float32, on the CPU.

    Raises:
        ValueError: There is no text.
    """
    if not texts:
        raise ValueError("there is no text to embed\n没有可以嵌入的文本")
    device = next(encoder.parameters()).device
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, Tensor] = {}
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        read = tokenizer([texts[place] for place in places], padding=True, truncation=True, max_length=max_length,
                         return_tensors="pt").to(device)  # fmt: skip
        hidden = encoder(**read).last_hidden_state  # (batch, token, width)
        mask = read["attention_mask"][..., None]
        mean = (hidden * mask).sum(1) / mask.sum(1)
        found.update(zip(places, nn.functional.normalize(mean, dim=-1).float().cpu(), strict=True))
    return torch.stack([found[place] for place in range(len(texts))])


def fuse(rankings: Iterable[Sequence[int]], c: float = 60) -> list[int]:
    """Reciprocal rank fusion: a text's score is the sum of ``1 / (c + rank)`` over the rankings, ranks from 1.

    Args:
        rankings: Each all texts, the best first.
        c: The larger, the less the first places stand out; most libraries call it ``k``.

    Example:
        >>> fuse([[0, 1, 2], [1, 2, 0]])
        [1, 0, 2]
    """
    total = Counter[int]()
    for ranking in rankings:
        for rank, place in enumerate(ranking, start=1):
            total[place] += 1 / (c + rank)  # type: ignore[assignment]
    return sorted(total, key=lambda place: (-total[place], place))


def combine(words: Tensor, meaning: Tensor, alpha: float) -> list[int]:
    """Fusion of scores: each run of scores is stretched to the range from 0 to 1, then averaged.

    Args:
        words: Scores of all texts, (texts,).
        meaning: Other scores of the same texts, (texts,).
        alpha: Weight of the second; that of the first is ``1 - alpha``.

    Example:
        >>> combine(torch.tensor([9.0, 8.0, 0.0]), torch.tensor([0.1, 0.3, 0.2]), alpha=0.5)
        [1, 0, 2]
    """
    low, high = (
        ((scores - scores.min()) / (scores.max() - scores.min()).clamp(min=1e-9)) for scores in (words, meaning)
    )
    return ranked((1 - alpha) * low + alpha * high)


def first_rank(ranking: Sequence[int], right: Iterable[int]) -> int:
    """Rank, from 1, of the first text that answers.

    >>> first_rank([4, 2, 7], {7, 2})
    2
    """
    wanted = set(right)
    return next(rank for rank, place in enumerate(ranking, start=1) if place in wanted)


class Chunk(NamedTuple):
    """A text that is indexed in place of passages.

    Attributes:
        text: With the headings.
        places: Of the passages it comes from.
    """

    text: str
    places: tuple[int, ...]


def split(passages: Sequence[Passage], characters: int) -> list[Chunk]:
    r"""Passages cut between sentences into chunks, each under the heading of its passage.

    Args:
        passages: That are searched.
        characters: A chunk has at most so many without its heading, unless a sentence alone has more.

    Example:
        >>> [chunk.text for chunk in split([Passage("f-0", "m", "f", "Does it. Fast.")], 8)]
        ['f\nDoes it.', 'f\nFast.']
    """
    found = list[Chunk]()
    for place, passage in enumerate(passages):
        pieces = [""]
        for part in sentences(passage.text):
            joined = f"{pieces[-1]} {part}".strip()
            pieces = [*pieces[:-1], joined] if len(joined) <= characters else [*pieces, part]
        found += [Chunk(f"{passage.heading}\n{piece}", (place,)) for piece in pieces if piece]
    return found


def merged(passages: Sequence[Passage], characters: int) -> list[Chunk]:
    """Neighbouring passages of one topic in one chunk, as long as it has at most so many characters.

    Example:
        >>> [chunk.places for chunk in merged(corpus()[:7], 2000)]
        [(0,), (1, 2), (3,), (4, 5), (6,)]
    """
    found = list[Chunk]()
    for place, passage in enumerate(passages):
        last = found[-1] if found else Chunk("", ())
        text = f"{last.text}\n\n{searched(passage)}"
        if last.places and passages[last.places[-1]].topic == passage.topic and len(text) <= characters:
            found[-1] = Chunk(text, (*last.places, place))
        else:
            found.append(Chunk(searched(passage), (place,)))
    return found


def sentences(text: str) -> list[str]:
    r"""Sentences, items and lines of code of a text, each as it stands there.

    >>> sentences("Does it. Or not: fast\n* item\n    x = 1")
    ['Does it.', 'Or not: fast', '* item', 'x = 1']
    """
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


class Sentence(NamedTuple):
    """A sentence taken out of its passage: a question whose answer is known, for choosing settings."""

    query: str
    place: int
    rest: str


def taken_out(passages: Sequence[Passage], count: int, seed: int = 0) -> list[Sentence]:
    """Inverse cloze (Lee et al., 2019, arXiv:1906.00300): a sentence is the query, the rest of its passage the answer.

    Of 300 sentences 39 stand in another passage as well, which counts as a miss: docstrings repeat each other.

    Args:
        passages: That are searched.
        count: How many passages lose a sentence.
        seed: Of the draw.

    Example:
        >>> (first, *_) = taken_out(corpus(), 3)
        >>> first.query in corpus()[first.place].text, first.query in first.rest
        (True, False)
    """
    draw = random.Random(f"taken out {seed}")
    found = list[Sentence]()
    for place in draw.sample(range(len(passages)), len(passages)):
        sentences = [text for text in re.split(r"(?<=[.!?])\s+", passages[place].text) if 8 <= len(text.split()) <= 30]
        rest = passages[place].text
        if len(sentences) > 1 and len(found) < count:
            query = draw.choice(sentences)
            found.append(Sentence(query, place, rest.replace(query, " ")))
    return found
