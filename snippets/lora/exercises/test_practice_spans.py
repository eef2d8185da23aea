import itertools
import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from llm_tutorial.data.people_daily import LABELS, Entity
from llm_tutorial.tagging import spans as strict_spans


def compare(answer, labels):
    right = {Entity(start, end + 1, kind) for kind, start, end in get_entities(labels)}
    found = set(answer.spans(labels))
    if found == right:
        return
    place = min(entity.start for entity in found ^ right)
    before, here = ["O", *labels][place], labels[place]
    missing = [entity for entity in right - found if entity.start == place]
    if not missing:
        english = f"At {place} no entity begins."
        chinese = f"第 {place} 个位置并没有实体开始。"
    elif any(entity.start == place for entity in found):
        english = (
            f"The entity at {place} ends at {missing[0].end}: "
            f"it lasts as long as I-{missing[0].type} follows."
        )
        chinese = (
            f"从 {place} 开始的实体到 {missing[0].end} 为止："
            f"后面还是 I-{missing[0].type} 就接着算，不是就结束。"
        )
    elif any(entity.end == missing[0].end for entity in found - right):
        english = (
            f"The entity at {place} is cut: an I- that continues an entity begins none."
        )
        chinese = f"从 {place} 开始的实体给切断了：I- 接得上前面，就不另起一个。"
    elif here.startswith("B-"):
        english = f"At {place} a B- always begins a new entity."
        chinese = f"第 {place} 个位置是 B-，总是新实体的开始。"
    elif before == "O":
        english = f"The {here} at {place} continues nothing, so an entity begins there."
        chinese = f"第 {place} 个位置的 {here} 前面没有可接的，实体就从这里开始。"
    else:
        english = (
            f"The {here} at {place} cannot continue a {before}: "
            "the one ends, another begins."
        )
        chinese = (
            f"第 {place} 个位置的 {here} 接不上 {before}：前一个到此为止，另起一个。"
        )
    pytest.fail(
        pytest.say(
            f"{labels}: found {sorted(map(tuple, found))}, but seqeval finds "
            f"{sorted(map(tuple, right))}. {english}",
            f"{labels}：你找到 {sorted(map(tuple, found))}，seqeval 找到 "
            f"{sorted(map(tuple, right))}。{chinese}",
        ),
        pytrace=False,
    )


def test_all_short_sequences(answer):
    some = ["O", "I-PER", "B-PER", "I-LOC", "B-LOC"]
    for length in range(5):
        for labels in itertools.product(some, repeat=length):
            compare(answer, list(labels))


def test_random_sequences(answer):
    generator = random.Random(0)
    for _ in range(500):
        compare(answer, generator.choices(LABELS, k=generator.randint(5, 12)))


def test_entities_found_strictly_are_found_here_too(answer):
    generator = random.Random(1)
    for labels in (generator.choices(LABELS, k=30) for _ in range(100)):
        assert strict_spans(labels) <= set(answer.spans(labels)), pytest.say(
            f"{labels}: an entity of the strict mode is lost.",
            f"{labels}：严格模式下的实体丢了。",
        )
