"""Relations between places of a text, read off its tokens without a parser.

Each kind is one bit, so that a pair may be related in several ways at once: ``kinds & SAME_SURFACE`` and so on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SAME_SURFACE, SAME_TYPE, TITLE, SAME_SENTENCE = 1, 2, 4, 8
RELATIONS = ("same surface", "same type", "title", "same sentence")


def related_kinds(
    input_ids: Tensor,
    entities: Tensor,
    sentence_ends: Sequence[int] = (),
    titles: Sequence[tuple[int, int]] = (),
    types: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """How each token is related to each entity.

    * same surface: the token and the one after it are those of the entity (a name comes back);
    * same type: both have the same predicted type;
    * title: the token begins a title, and that title stands right before the entity ("the chairman" and his name);
    * same sentence: no sentence ends between them.

    Where nobody may look ahead, a surface is a token and the one before it, a token ends a title instead of beginning
    one, and the title ends one or two places before the entity: nothing depends on what follows either place.

    Args:
        input_ids: (batch, length).
        entities: Positions (batch, entities), -1 where there is none.
        sentence_ends: Ids of the tokens that end a sentence.
        titles: Titles of two tokens each.
        types: Predicted type of each token (batch, length), 0 for none.
        causal: Look back only.

    Returns:
        (batch, length, entities), a sum of SAME_SURFACE, SAME_TYPE, TITLE and SAME_SENTENCE; 0 for none.

    Example:
        >>> ids = torch.tensor([[5, 6, 1, 9, 5, 6]])  # the name 5 6, a full stop, and the name again
        >>> related_kinds(ids, torch.tensor([[0]]), sentence_ends=[1])[0, :, 0].tolist()
        [9, 8, 8, 0, 1, 0]
    """
    at = entities.clamp(min=0)
    beside = F.pad(input_ids[:, :-1], (1, 0), value=-1) if causal else F.pad(input_ids[:, 1:], (0, 1), value=-1)
    kinds = SAME_SURFACE * (_each(input_ids, at) & _each(beside, at))
    if types is not None:
        kinds = kinds | SAME_TYPE * (_each(types, at) & (types > 0)[..., None])
    if len(titles):
        named = torch.zeros_like(input_ids)
        for number, title in enumerate(titles, 1):
            near, far = reversed(title) if causal else title
            named = torch.where((input_ids == near) & (beside == far), number, named)
        before = F.pad(named, (2, 0))[:, :-2]  # the title that ends right before each place
        if causal:
            nearer = F.pad(named, (1, 0))[:, :-1]
            before = torch.where(nearer > 0, nearer, before)
        owned = before.gather(1, at)[:, None]  # (batch, 1, entities)
        kinds = kinds | TITLE * ((named[..., None] == owned) & (owned > 0))
    if len(sentence_ends):
        ends = torch.isin(input_ids, torch.tensor(sentence_ends, device=input_ids.device))
        sentence = F.pad(ends.long().cumsum(1)[:, :-1], (1, 0))
        kinds = kinds | SAME_SENTENCE * _each(sentence, at)
    return kinds * (entities >= 0)[:, None]


def _each(values: Tensor, at: Tensor) -> Tensor:
    """Whether each place has the value of each entity, (batch, length, entities)."""
    return values[..., None] == values.gather(1, at)[:, None]


def surface_pairs(input_ids: Tensor, places: Tensor) -> Tensor:
    """Links each place to the one before it with the same token and the same next token, in both directions.

    Args:
        input_ids: (batch, length).
        places: Positions to link (batch, places), in ascending order, -1 where there is none.

    Returns:
        Pairs (batch, 2 * places, 2), -1 where a place has no earlier mention.

    Example:
        >>> surface_pairs(torch.tensor([[5, 6, 1, 9, 5, 6]]), torch.tensor([[0, 3, 4]]))[0].tolist()
        [[-1, -1], [-1, -1], [4, 0], [-1, -1], [-1, -1], [0, 4]]
    """
    at = places.clamp(min=0)
    following = F.pad(input_ids[:, 1:], (0, 1), value=-1)
    first, second = input_ids.gather(1, at), following.gather(1, at)  # (batch, places)
    same = (first[:, :, None] == first[:, None]) & (second[:, :, None] == second[:, None])
    same &= (places >= 0)[:, :, None] & (places >= 0)[:, None] & (at[:, None] < at[:, :, None])
    earlier = torch.where(same, at[:, None], -1).amax(-1)  # (batch, places)
    pairs = torch.stack([at, earlier], -1).where((earlier >= 0)[..., None], -1)
    return torch.cat([pairs, pairs.flip(-1)], 1)
