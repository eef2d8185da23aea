from collections import Counter
from itertools import pairwise

import pytest
import torch

from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)

IDF = torch.arange(30) / 4  # token 29 is the rarest


def texts(length: int = 60) -> torch.Tensor:
    """A text whose pairs come back, one with padding, and one of no pair twice."""
    ids = torch.randint(5, 15, (3, length), generator=torch.Generator().manual_seed(0))
    ids[1, 40:] = 0
    ids[2] = torch.arange(length) % 29 + 1
    ids[2, 28:] = 0
    return ids


def right(ids: torch.Tensor, limit: int) -> list[list[int]]:
    chosen = []
    for row in ids.tolist():
        pairs = list(pairwise(row))
        counts = Counter(pairs)
        again = [
            i for i, pair in enumerate(pairs) if counts[pair] > 1 and 0 not in pair
        ]
        ranked = sorted(again, key=lambda i: -float(IDF[list(pairs[i])].sum()))
        chosen.append(sorted(ranked[:limit]))
    return chosen


def places_of(answer, ids: torch.Tensor, limit: int) -> list[list[int]]:
    entities = answer.choose_by_rule(ids, IDF, limit)
    shape = (len(ids), min(limit, ids.shape[1]))
    assert entities.shape == shape and entities.dtype == torch.long, pytest.say(
        f"The positions are {entities.dtype} of shape {tuple(entities.shape)}; "
        f"they should be int64 and {shape}.",
        f"给出的位置是 {entities.dtype}，形状 {tuple(entities.shape)}；"
        f"应为 int64，形状 {shape}。",
    )
    return [[place for place in row if place != -1] for row in entities.tolist()]


def test_each_position_once_and_in_order(answer):
    for row in places_of(answer, texts(), 8):
        assert len(set(row)) == len(row), pytest.say(
            f"A position stands twice among {row}; the encoder takes each once.",
            f"{row} 里有位置重复；编码器只收不重复的位置。",
        )
        assert row == sorted(row), pytest.say(
            f"{row} is not in ascending order: sort the chosen positions at the end.",
            f"{row} 不是从小到大：选好之后再排一次序。",
        )


def test_no_pair_with_padding_is_chosen(answer):
    ids = texts()
    for row, places in zip(ids, places_of(answer, ids, 50), strict=True):
        end = int((row > 0).sum()) - 1
        assert all(0 <= place < end for place in places), pytest.say(
            f"The last token of this text stands at {end}, so a pair begins at "
            f"{end - 1} at the latest; chosen were {places}.",
            f"这篇最后一个词元在第 {end} 个位置，最后一对从第 {end - 1} 个开始；"
            f"选中的却是 {places}。",
        )


def test_chosen_pairs_come_back(answer):
    ids = texts()
    for row, places in zip(ids.tolist(), places_of(answer, ids, 8), strict=True):
        counts = Counter(pairwise(row))
        once = [place for place in places if counts[row[place], row[place + 1]] < 2]
        assert not once, pytest.say(
            f"The pairs at {once} stand in their text only once; "
            "texts of one batch must not be counted together.",
            f"第 {once} 个位置的那一对在本篇里只出现一次；同一批的几篇不能合在一起数。",
        )


@pytest.mark.parametrize("limit", [1, 4, 8, 50, 60, 100])
def test_the_rarest_are_chosen_and_the_earlier_of_equal_ones(answer, limit):
    ids = texts()
    for number, (places, best) in enumerate(
        zip(places_of(answer, ids, limit), right(ids, limit), strict=True)
    ):
        assert len(places) == len(best), pytest.say(
            f"Text {number} has {len(best)} positions to choose (limit {limit}), you "
            f"chose {len(places)}; fill up with -1.",
            f"第 {number} 篇该选 {len(best)} 个位置（上限 {limit}），你选了 "
            f"{len(places)} 个；不足的用 -1 补。",
        )
        beside = ids[number].roll(-1)
        rarity, highest = (
            (IDF[ids[number]] + IDF[beside])[chosen].sort().values
            for chosen in (places, best)
        )
        assert torch.equal(rarity, highest), pytest.say(
            f"Text {number}, limit {limit}: you chose {places}, but {best} are the "
            "rarest: the sum of the idf of both tokens counts.",
            f"第 {number} 篇，上限 {limit}：你选了 {places}，最少见的却是 {best}："
            "看的是两个词元的 idf 之和。",
        )
        assert places == best, pytest.say(
            f"Text {number}, limit {limit}: {places} are as rare as {best}, but of "
            "equal ones the earlier counts. Does your sort keep their order?",
            f"第 {number} 篇，上限 {limit}："
            f"{places} 与 {best} 一样少见，但并列时取靠前的。你的排序保持先后吗？",
        )


def test_the_same_text_gives_the_same_positions(answer):
    ids = texts()
    before = ids.clone()
    first = answer.choose_by_rule(ids, IDF, 8)
    torch.manual_seed(1)
    alone = torch.cat([answer.choose_by_rule(row[None], IDF, 8) for row in ids])
    assert torch.equal(ids, before), pytest.say(
        "input_ids were changed in place.", "input_ids 被就地修改了。"
    )
    assert torch.equal(first, alone), pytest.say(
        "A text alone gets other positions than in a batch; "
        "each text is to be chosen from by itself.",
        "单独一篇与放在一批里选出的位置不同；每一篇应当各选各的。",
    )


def test_the_encoder_reads_them(answer):
    torch.manual_seed(0)
    config = RelationSparseConfig(
        vocab_size=30,
        block_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    )
    model = RelationSparseForTokenClassification(config)
    ids = texts()
    entities = answer.choose_by_rule(ids, IDF, 8)
    labels = torch.where(ids > 0, ids % 2, -100)
    output = model(ids, attention_mask=ids > 0, labels=labels, entities=entities)
    output.loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    finite = all(x.isfinite().all() for x in (output.logits, *grads))
    assert torch.equal(output.entities, entities) and finite, pytest.say(
        "The encoder does not get by with these positions: "
        "output or gradient is not finite.",
        "编码器用不了这些位置：输出或梯度不是有限的数。",
    )
