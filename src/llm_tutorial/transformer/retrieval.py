"""Retrieval-augmented answers: find passages by words or by meaning, answer from them, and measure both.

BM25 is that of Robertson and Zaragoza (2009), reciprocal rank fusion that of Cormack, Clarke and Büttcher (2009,
SIGIR), and answering from what was retrieved that of Lewis et al. (2020, arXiv:2005.11401).
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

NOTHING = "Not in the documentation."
_WORDS = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)*|[\u4e00-\u9fff]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CODE = re.compile(r"`([^`]+)`|\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[a-z]+_\w+|[A-Za-z_]\w*(?=\())")


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

    Example:
        >>> BM25(["a cat", "a dog and a dog", "the sun"]).search("dog")[:1]
        [1]
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
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
        (texts, width), float32.
    """
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, Tensor] = {}
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        read = tokenizer([texts[place] for place in places], padding=True, truncation=True, max_length=max_length,
                         return_tensors="pt")  # fmt: skip
        hidden = encoder(**read).last_hidden_state  # (batch, token, width)
        mask = read["attention_mask"][..., None]
        mean = (hidden * mask).sum(1) / mask.sum(1)
        found.update(zip(places, nn.functional.normalize(mean, dim=-1), strict=True))
    return torch.stack([found[place] for place in range(len(texts))])


def fuse(rankings: Iterable[Sequence[int]], k: float = 60) -> list[int]:
    """Reciprocal rank fusion: a text's score is the sum of ``1 / (k + rank)`` over the rankings, ranks from 1.

    Args:
        rankings: Each all texts, the best first.
        k: The larger, the less the first places stand out.

    Example:
        >>> fuse([[0, 1, 2], [1, 2, 0]])
        [1, 0, 2]
    """
    total = Counter[int]()
    for ranking in rankings:
        for rank, place in enumerate(ranking, start=1):
            total[place] += 1 / (k + rank)  # type: ignore[assignment]
    return sorted(total, key=lambda place: (-total[place], place))


def first_rank(ranking: Sequence[int], right: Iterable[int]) -> int:
    """Rank, from 1, of the first text that answers.

    >>> first_rank([4, 2, 7], {7, 2})
    2
    """
    wanted = set(right)
    return next(rank for rank, place in enumerate(ranking, start=1) if place in wanted)


class Sentence(NamedTuple):
    """A sentence taken out of its passage: a question whose answer is known, for choosing settings."""

    query: str
    place: int
    rest: str


def taken_out(passages: Sequence[Passage], count: int, seed: int = 0) -> list[Sentence]:
    """Inverse cloze (Lee et al., 2019, arXiv:1906.00300): a sentence is the query, the rest of its passage the answer.

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


def instruction(question: str, passages: Sequence[str] = (), refuse: bool = True) -> list[dict[str, str]]:
    """Messages for a chat model: the numbered passages, the question, and what to do where nothing fits.

    Args:
        question: As it was asked.
        passages: What was retrieved, the best first; without any, the model answers from memory.
        refuse: Ask it to say ``NOTHING`` where it does not know.
    """
    numbered = "".join(f"[{number}] {text}\n\n" for number, text in enumerate(passages, start=1))
    source = "Answer from the passages in one short sentence." if passages else "Answer in one short sentence."
    otherwise = f' If you do not find the answer, say "{NOTHING}"' if refuse else ""
    return [{"role": "user", "content": f"{numbered}{source}{otherwise}\n\nQuestion: {question}"}]


def invented(reply: str, known: frozenset[str]) -> list[str]:
    """Names of code in a reply that stand nowhere in the documentation nor in the question.

    Args:
        reply: Of the model.
        known: As `names_of` gives them.

    Example:
        >>> invented("Use `textwrap.fill()` or text_magic(3).", names_of(["textwrap.fill(text)"]))
        ['text_magic']
    """
    return [name for name in _names(reply) if name not in known]


def names_of(texts: Iterable[str]) -> frozenset[str]:
    """Every word of texts, and every part of a dotted name, as far as it may be a name of code.

    >>> sorted(names_of(["os.path"]))
    ['os', 'path']
    """
    return frozenset(word for text in texts for word in re.findall(r"[A-Za-z_]\w*", text))


def _names(reply: str) -> list[str]:
    code = [one or other for one, other in _CODE.findall(reply)]
    return list(dict.fromkeys(word for text in code for word in re.findall(r"[A-Za-z_]\w*", text)))
