"""A dilated tagger sees what its field says, and entities are counted as seqeval counts them."""

import random

import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from llm_tutorial.cnn.tagging import DilatedTagger, Tagged, tag_loss
from llm_tutorial.data.people_daily import LABELS, Entity
from llm_tutorial.tagging import count_characters, crops, score, spans


@pytest.mark.parametrize(("dilations", "rounds", "field"), [((1, 2, 4, 1), 2, 35), ((1, 1), 1, 7), ((1, 2), 3, 21)])
def test_field_is_where_the_answer_depends_on(dilations, rounds, field):
    torch.manual_seed(0)
    model = DilatedTagger(50, width=8, dilations=dilations, rounds=rounds, buckets=997).eval().double()
    for layer in model.block:
        layer.weight.data = layer.weight.data.abs()  # no ReLU hides what is read
        layer.bias.data.fill_(10.0)
    ids = torch.randint(2, 50, (1, 101))
    before = model(ids)[0, 50]
    reads = []
    for place in range(101):
        other = ids.clone()
        other[0, place] = (other[0, place] + 7) % 48 + 2
        reads.append(not torch.equal(model(other)[0, 50], before))
    places = [place for place, read in enumerate(reads) if read]
    assert places[-1] - places[0] + 1 == field == model.field
    assert all(reads[places[0] : places[-1] + 1])


def test_entities_are_counted_as_seqeval_does():
    draw = random.Random(0)
    gold = [[draw.choice(LABELS) for _ in range(30)] for _ in range(20)]
    said = [[draw.choice([label, *LABELS]) if draw.random() < 0.5 else label for label in labels] for labels in gold]
    ours = score([spans(labels) for labels in said], [spans(labels) for labels in gold])["f1"]
    assert 0.2 < ours < 0.9
    assert ours == pytest.approx(f1_score(gold, said, mode="strict", scheme=IOB2))


def test_a_half_right_answer_scores_half():
    gold = [[Entity(0, 2, "PER"), Entity(4, 6, "LOC")]]
    assert score([[Entity(0, 2, "PER"), Entity(4, 6, "ORG")]], gold)["f1"] == 0.5
    assert score([[Entity(0, 2, "PER")]], gold)["PER"] == 1.0
    assert score([[]], gold)["f1"] == 0.0


def test_crops_are_pieces_of_the_documents():
    documents = [Tagged(torch.arange(n, n + 40), torch.arange(n, n + 40)) for n in (0, 100, 200)]
    batch = crops(documents, 3, 8, seed=1)(0)
    assert sorted(int(crop.input_ids[0]) // 100 for crop in batch) == [0, 1, 2]
    assert all((crop.input_ids.diff() == 1).all() and len(crop.labels) == 8 for crop in batch)
    assert count_characters(batch) == 24


def test_it_learns_and_an_empty_text_is_named():
    torch.manual_seed(0)
    model = DilatedTagger(20, width=16, buckets=64, dropout=0.0)
    ids = torch.randint(2, 20, (4, 30))
    labels = (ids.roll(3, 1) == 5).long()  # what stood three before decides
    batch = [Tagged(*pair) for pair in zip(ids, labels, strict=True)]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    first = tag_loss(model, batch).item()
    for _ in range(60):
        optimizer.zero_grad()
        tag_loss(model, batch).div(120).backward()
        optimizer.step()
    assert tag_loss(model, batch).item() < 0.2 * first
    with pytest.raises(ValueError, match=r"nothing to label(.|\n)*没有可标注"):
        model(torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_sixteen_bits_label_about_the_same(dtype):
    torch.manual_seed(0)
    model = DilatedTagger(20, width=16, buckets=64).eval()
    ids = torch.randint(2, 20, (2, 30))
    wanted = model(ids)
    assert torch.allclose(model.to(dtype)(ids).float(), wanted, atol=0.2)
