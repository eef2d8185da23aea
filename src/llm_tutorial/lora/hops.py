"""A controlled test of reading far apart: who is in which city, told in one statement or in two.

"Ada Berg lives in Rome ." answers "where is Ada Berg ?" in one hop. "Bo Lund visits Ada Berg ." says where Bo Lund is
only to who finds the other statement, too: two hops. The statements stand anywhere in a text, among sentences that
answer nothing, some of which name the same people; the questions stand at its end. A city is drawn for each text
anew, so that only the text can tell it, and a guess is right one time in eight.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST = tuple("Ada Bo Cleo Dan Eva Finn Gus Hana Ivo June Kai Lea Max Nia Otto Pia".split())
LAST = tuple("Adler Berg Cole Dahl Eriksen Falk Gray Holm Ito Jansen Klein Lund Moss Nagy Olsen Park".split())
CITIES = tuple("Bergen Cairo Dakar Lima Oslo Paris Rome Tokyo".split())
THINGS = tuple("boat bird clock field garden hill kettle lamp letter moon river road roof song stone tree".split())
ACTS = tuple("crosses finds follows holds hides meets needs passes".split())
WORDS = ("<pad>", ".", "?", "lives", "in", "visits", "likes", "where", "is", "the", "a")
WORDS = (*WORDS, *FIRST, *LAST, *CITIES, *THINGS, *ACTS)
ID = {word: number for number, word in enumerate(WORDS)}
STOP, ASK = ID["."], ID["?"]

HOSTS = 4  # people whose city is stated; as many others visit them
SPAN = 8192  # positions that training spreads a text over


class Question(NamedTuple):
    """A question of a text.

    Attributes:
        place: Of its question mark, where the answer is asked.
        city: The answer, 0 … 7.
        hops: Statements that it takes, 1 or 2.
        distance: Tokens from the question mark back to the farthest of them.
    """

    place: int
    city: int
    hops: int
    distance: int


class HopText(NamedTuple):
    """Token ids of a text and its questions."""

    ids: list[int]
    questions: tuple[Question, ...]


def hop_text(length: int, seed: str, gossip: float = 0.1) -> HopText:
    """A text of statements, filler and questions.

    Args:
        length: Tokens, 256 or more.
        seed: What the text is made from: the same seed, the same text.
        gossip: Share of the filler's sentences that name a person.

    Raises:
        ValueError: A length too short for the statements and the questions.

    Example:
        >>> text = hop_text(256, "doctest")
        >>> " ".join(WORDS[token] for token in text.ids[:24])
        ''
        >>> text.questions[0]
    """
    draw = random.Random(seed)
    people = [(first, draw.choice(LAST)) for first in draw.sample(FIRST, 2 * HOSTS)]
    hosts, guests = people[:HOSTS], people[HOSTS:]
    city = {host: draw.randrange(len(CITIES)) for host in hosts}
    host_of = {guest: draw.choice(hosts) for guest in guests}
    statements = {host: [*host, "lives", "in", CITIES[city[host]], "."] for host in hosts}
    statements |= {guest: [*guest, "visits", *host_of[guest], "."] for guest in guests}
    asked = draw.sample(people, len(people))
    room = length - sum(map(len, statements.values())) - 5 * len(asked)
    if room < 0:
        raise ValueError(f"statements and questions take {length - room} tokens; got a length of {length}")
    sentences: list[tuple[Any, list[str]]] = list(statements.items())
    while room > 0:
        named = draw.random() < gossip
        subject = draw.choice(people) if named else ("the", draw.choice(THINGS))
        filler = [*subject, "likes" if named else draw.choice(ACTS), "the", draw.choice(THINGS), "."]
        sentences.append((None, filler[-room:]))  # the last one may lack its beginning
        room -= len(filler)
    draw.shuffle(sentences)
    words: list[str] = []
    stands = {}
    for person, sentence in sentences:
        stands[person] = len(words)
        words += sentence
    questions = []
    for person in asked:
        words += ["where", "is", *person, "?"]
        host = host_of.get(person, person)
        farthest = min(stands[person], stands[host])
        place = len(words) - 3
        questions.append(Question(place, city[host], 1 + (host != person), place - farthest))
    return HopText([ID[word] for word in words], tuple(questions))


def spread_positions(input_ids: Tensor, span: int, generator: torch.Generator | None = None) -> Tensor:
    """Positions that leave random gaps between sentences, so that long distances occur in short texts.

    Inside a sentence positions go on by one. The idea is that of randomised positions (Ruoss et al. 2023,
    arXiv:2305.16843), which spread single tokens.

    Args:
        input_ids: (batch, length).
        span: Positions to spread over; at least ``length``.
        generator: Of the gaps.

    Returns:
        (batch, length), ascending, below ``span``.
    """
    batch, length = input_ids.shape
    ends = (input_ids == STOP) | (input_ids == ASK)
    sentence = F.pad(ends.long().cumsum(1)[:, :-1], (1, 0))
    total = torch.rand(batch, 1, generator=generator) * (span - length)
    gaps = (torch.rand(batch, length, generator=generator).where(torch.arange(length) <= sentence[:, -1:], 2)).sort().values
    return torch.arange(length) + (gaps.gather(1, sentence) * total).long()


def tensors(texts: Sequence[HopText], device: Any = None) -> tuple[Tensor, Tensor]:
    """Token ids and labels of texts of one length, (batch, length) each; -100 where nothing is asked."""
    ids = torch.tensor([text.ids for text in texts], device=device)
    labels = torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        for question in text.questions:
            labels[row, question.place] = question.city
    return ids, labels


def question_loss(model: nn.Module, texts: Sequence[HopText], device: Any = None) -> Tensor:
    """Summed cross-entropy of the questions, on positions spread over ``SPAN``."""
    ids, labels = tensors(texts, device)
    logits = model(ids, position_ids=spread_positions(ids, SPAN)).logits
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")


def count_questions(texts: Sequence[HopText]) -> int:
    """How many questions the loss is summed over."""
    return sum(len(text.questions) for text in texts)
