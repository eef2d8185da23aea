"""The test of reading far apart: what its texts say, and that its answers cannot be guessed from nearby."""

import itertools

import pytest
import torch

from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseForTokenClassification
from llm_tutorial.lora.hops import (
    CITIES,
    FIRST,
    ID,
    SPAN,
    STOP,
    WORDS,
    answers,
    chosen,
    count_mentions,
    hop_text,
    mention_loss,
    scale_weights,
    spread_positions,
    tensors,
)

TEXTS = [hop_text(length, f"test/{seed}") for length in (128, 300) for seed in range(10)]


def solve(ids: list[int]) -> dict[str, str]:
    """Person to city, read off the statements by rule."""
    words = [WORDS[token] for token in ids]
    city = {words[at + 2]: words[at + 1] for at, word in enumerate(words) if word == "in"}
    return city | {words[at + 3]: city[words[at + 1]] for at, word in enumerate(words) if word == "with"}


@pytest.mark.parametrize("text", TEXTS)
def test_statements_give_every_answer(text):
    city = solve(text.ids)
    assert len(city) == 8
    for mention in text.mentions:
        assert CITIES[mention.city] == city[WORDS[text.ids[mention.place]]]


@pytest.mark.parametrize("text", TEXTS)
def test_every_first_name_is_a_mention(text):
    names = [at for at, token in enumerate(text.ids) if WORDS[token] in FIRST]
    assert names == [mention.place for mention in text.mentions]


@pytest.mark.parametrize("text", TEXTS)
def test_distance_reaches_to_the_farthest_statement(text):
    words = [WORDS[token] for token in text.ids]
    host = {words[at + 3]: words[at + 1] for at, word in enumerate(words) if word == "with"}
    stated = {words[m.place]: m.place for m in text.mentions if m.stated}
    assert len(stated) == 8
    for mention in text.mentions:
        person = words[mention.place]
        needed = {stated[person], stated[host.get(person, person)]} - {mention.place}
        assert mention.hops == len(needed)
        assert mention.distance == max((abs(place - mention.place) for place in needed), default=0)


def test_cities_are_drawn_evenly():
    drawn = torch.tensor([m.city for n in range(400) for m in hop_text(128, str(n)).mentions if m.hops == 0])
    assert torch.bincount(drawn, minlength=8).float() == pytest.approx(200, abs=60)


def test_the_same_seed_gives_the_same_text():
    assert hop_text(200, "a") == hop_text(200, "a") != hop_text(200, "b")


def test_short_text_is_refused():
    with pytest.raises(ValueError, match="128 tokens"):
        hop_text(127, "a")


def test_positions_leave_gaps_between_sentences_only():
    ids, _ = tensors([hop_text(256, str(n)) for n in range(4)])
    places = spread_positions(ids, SPAN)
    step = places.diff(dim=1)
    assert (step >= 1).all()
    assert places.min() >= 0
    assert places.max() < SPAN
    assert (step[ids[:, :-1] != STOP] == 1).all()
    assert (step[ids[:, :-1] == STOP] > 1).any()


def model_of(**options):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    config = RelationSparseConfig(
        vocab_size=len(WORDS), num_labels=8, block_size=32, bigram_buckets=64, relations=("same surface",), **sizes,
        **options,
    )  # fmt: skip
    model = RelationSparseForTokenClassification(config)
    scale_weights(model)
    return model.eval()


def test_loss_is_that_of_labels_and_of_names_as_entities():
    texts = [hop_text(128, str(n)) for n in range(3)]
    model = model_of()
    ids, labels = tensors(texts)
    torch.manual_seed(1)
    positions = spread_positions(ids, SPAN)
    expected = model(ids, labels=labels, types=(labels >= 0).long(), position_ids=positions).loss
    torch.manual_seed(1)
    assert torch.allclose(mention_loss(model, texts) / count_mentions(texts), expected)


def test_default_positions_count_from_zero():
    ids, _ = tensors([hop_text(128, "a")])
    model = model_of()
    assert torch.equal(model(ids).logits, model(ids, position_ids=torch.arange(128)[None]).logits)
    shifted = model(ids, position_ids=torch.arange(128)[None] + 1000).logits
    assert torch.allclose(model(ids).logits, shifted, atol=1e-3)  # rotary positions are relative


def test_window_cannot_tell_what_stands_beyond_its_reach():
    text = hop_text(1024, "a")
    ids, _ = tensors([text])
    model = model_of(entities="none")
    far = max((m for m in text.mentions if m.hops == 1 and not m.stated), key=lambda m: m.distance)
    reach = 2 * 63  # two layers of a window of one block of 32 to each side
    assert far.distance > reach
    changed = ids.clone()
    beyond = (torch.arange(1024) - far.place).abs() > reach
    cities = torch.tensor([ID[city] for city in CITIES])
    changed[0, beyond & torch.isin(ids[0], cities)] = ID["Rome"]
    assert not torch.equal(ids, changed)
    assert torch.equal(model(ids).logits[0, far.place], model(changed).logits[0, far.place])


def test_every_mention_but_statements_is_answered():
    texts = [hop_text(128, str(n)) for n in range(2)]
    found = answers(model_of(), texts)
    assert [mention for mention, _ in found] == list(
        itertools.chain(*([m for m in text.mentions if not m.stated] for text in texts))
    )


def test_chosen_counts_names_and_statements():
    texts = [hop_text(128, "a")]
    assert chosen(model_of(entities="none"), texts) is None
    assert chosen(model_of(num_entities=128), texts) == {"names": 20 / 128, "statements": 1.0}
