"""A controlled test of reading far apart: in which city is each person, told in one statement or over two.

"In Rome Ada Berg works." says it of Ada Berg; wherever else the text names her, one statement away, the answer is
Rome. "With Ada Berg Bo Lund walks." says where Bo Lund is only to who finds the other statement, too: two hops. The
sentences stand in any order among others that name nobody. Cities and names are drawn for each text anew, so that only
the text can tell, and a guess is right one time in eight.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.lora.encoder import RelationSparseAttention, gate_loss
from llm_tutorial.precision import widen

LISTS = """\
Ada Bo Cleo Dan Eva Finn Gus Hana Ivo June Kai Lea Max Nia Otto Pia
Adler Berg Cole Dahl Eriksen Falk Gray Holm Ito Jansen Klein Lund Moss Nagy Olsen Park
Bergen Cairo Dakar Lima Oslo Paris Rome Tokyo
boat bird clock field garden hill kettle lamp letter moon river road roof song stone tree
crosses finds follows holds hides meets needs passes"""
FIRST, LAST, CITIES, THINGS, ACTS = (tuple(line.split()) for line in LISTS.splitlines())
WORDS = ("<pad>", ".", "in", "with", "works", "walks", "likes", "the", *FIRST, *LAST, *CITIES, *THINGS, *ACTS)
ID = {word: number for number, word in enumerate(WORDS)}
STOP = ID["."]

HOSTS = 4  # people whose city is stated; as many others are with one of them
SPAN = 8192  # positions that training spreads a text over


class Mention(NamedTuple):
    """A person named in a text.

    Attributes:
        place: Of the first name, where the city is asked.
        city: The answer, 0 … 7.
        hops: Other statements that it takes: 0 where the city stands beside the name, 1 or 2.
        distance: Tokens from here to the farthest of them.
        stated: Whether this is the statement about the person itself.
    """

    place: int
    city: int
    hops: int
    distance: int
    stated: bool


class HopText(NamedTuple):
    """Token ids of a text and the people named in it."""

    ids: list[int]
    mentions: tuple[Mention, ...]


def hop_text(length: int, seed: str) -> HopText:
    """A text of statements, further mentions and filler.

    Args:
        length: Tokens, 128 or more.
        seed: What the text is made from: the same seed, the same text.

    Raises:
        ValueError: A length too short for what is to be said.

    Example:
        >>> text = hop_text(128, "doctest")
        >>> words = [WORDS[token] for token in text.ids]
        >>> len(words), len(text.mentions)
        (128, 20)
        >>> mention = next(m for m in text.mentions if m.hops == 0)
        >>> words[mention.place - 1] == CITIES[mention.city]
        True
    """
    if length < 128:
        raise ValueError(f"a text takes 128 tokens or more; got a length of {length}")
    draw = random.Random(seed)
    people = list(zip(draw.sample(FIRST, 2 * HOSTS), draw.sample(LAST, 2 * HOSTS), strict=True))
    hosts, guests = people[:HOSTS], people[HOSTS:]
    city = {host: draw.randrange(len(CITIES)) for host in hosts}
    host_of = {guest: draw.choice(hosts) for guest in guests}
    sentences = [["in", CITIES[city[host]], *host, "works", "."] for host in hosts]
    sentences += [["with", *host_of[guest], *guest, "walks", "."] for guest in guests]
    sentences += [[*person, "likes", "the", draw.choice(THINGS), "."] for person in people]
    room = length - sum(map(len, sentences))
    while room > 0:
        filler = ["the", draw.choice(THINGS), draw.choice(ACTS), "the", draw.choice(THINGS), "."]
        sentences.append(filler[-room:])  # the last one may lack its beginning
        room -= len(filler)
    draw.shuffle(sentences)

    places: list[tuple[tuple[str, str], int, bool]] = []
    words: list[str] = []
    for sentence in sentences:
        for person in people:
            if person[0] in sentence:
                at = sentence.index(person[0])
                stated = (sentence[0], person in hosts) in (("in", True), ("with", False))
                places.append((person, len(words) + at, stated))
        words += sentence
    statement = {person: place for person, place, stated in places if stated}
    mentions = []
    for person, place, stated in places:
        host = host_of.get(person, person)
        others = {statement[person], statement[host]} - {place}
        distance = max((abs(place - other) for other in others), default=0)
        mentions.append(Mention(place, city[host], len(others), distance, stated))
    return HopText([ID[word] for word in words], tuple(mentions))


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
    sentence = F.pad((input_ids.cpu() == STOP).long().cumsum(1)[:, :-1], (1, 0))
    gaps = torch.rand(batch, length, generator=generator)
    gaps = gaps.where(torch.arange(length) <= sentence[:, -1:], 2).sort().values
    gaps = gaps.gather(1, sentence) * torch.rand(batch, 1, generator=generator) * (span - length)
    return (torch.arange(length) + gaps.long()).to(input_ids.device)


def tensors(texts: Sequence[HopText], device: Any = None) -> tuple[Tensor, Tensor]:
    """Token ids and labels of texts of one length, (batch, length) each; -100 where nothing is asked."""
    ids = torch.tensor([text.ids for text in texts], device=device)
    labels = torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        for mention in text.mentions:
            labels[row, mention.place] = mention.city
    return ids, labels


def mention_loss(model: nn.Module, texts: Sequence[HopText], device: Any = None) -> Tensor:
    """Summed cross-entropy of the mentions' cities, on positions spread over ``SPAN``; for ``fit``.

    The gate is told that first names are entities, with the weight that the model's configuration gives it.
    """
    ids, labels = tensors(texts, device)
    output = model(ids, position_ids=spread_positions(ids, SPAN))
    loss = F.cross_entropy(widen(output.logits).flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    if output.gate_logits is not None:
        told = gate_loss(output.gate_logits, (labels >= 0).long())
        loss = loss + count_mentions(texts) * model.config.gate_loss_weight * told  # type: ignore[union-attr, operator]
    return loss


def count_mentions(texts: Sequence[HopText]) -> int:
    """How many mentions the loss is summed over."""
    return sum(len(text.mentions) for text in texts)


@torch.no_grad()
def scale_weights(model: nn.Module) -> None:
    """Draws the layers' weights at a standard deviation of one over the root of their inputs, relations' at one.

    The models start at 0.02 and at zero, which suits wide layers and long training; in a narrow layer attention would
    begin too flat to learn soon whom to look for.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, RelationSparseAttention) and hasattr(module, "relation_key"):
            nn.init.normal_(module.relation_key)


@torch.no_grad()
def answers(model: nn.Module, texts: Sequence[HopText]) -> list[tuple[Mention, bool]]:
    """Each mention that is no statement itself, and whether the model, already in evaluation mode, names its city.

    Args:
        model: With a label for each token.
        texts: Of any lengths.
    """
    found = []
    for text in texts:
        ids, _ = tensors([text], next(model.parameters()).device)
        guesses = model(ids).logits[0].argmax(-1).tolist()
        found += [(m, guesses[m.place] == m.city) for m in text.mentions if not m.stated]
    return found


@torch.no_grad()
def chosen(model: nn.Module, texts: Sequence[HopText]) -> dict[str, float] | None:
    """What the gate spends its entities on, the model being in evaluation mode; ``None`` for a model without entities.

    Returns:
        ``names``: share of the entities that are a first name; ``statements``: share of the statements that are read.
    """
    names = entities = read = statements = 0
    for text in texts:
        ids, _ = tensors([text], next(model.parameters()).device)
        places = model(ids).entities
        if places is None:
            return None
        kept = set(places[0].tolist()) - {-1}
        entities += len(kept)
        names += sum(m.place in kept for m in text.mentions)
        stated = [m.place for m in text.mentions if m.stated]
        statements += len(stated)
        read += sum(place in kept for place in stated)
    return {"names": names / entities, "statements": read / statements}
