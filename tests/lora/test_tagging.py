"""The tagger of the People's Daily: tokens are characters, crops depend on the step alone, spans are those of seqeval."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from transformers import AutoTokenizer

from llm_tutorial.data.people_daily import LABELS, Document, Entity, people_daily
from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseForTokenClassification
from llm_tutorial.lora.tagging import (
    TITLES,
    LSTMTagger,
    evaluate,
    gold_places,
    loss_of,
    read,
    relation_settings,
    tag,
)
from llm_tutorial.tagging import ENTITY_TYPES, count_characters, crops, score, spans
from llm_tutorial.tokenizers import character_tokenizer
from llm_tutorial.training import fit

DOCUMENTS = people_daily("train", 300)[4:16]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return character_tokenizer(document.text for document in DOCUMENTS)


def small(tokenizer: Any, kind: type = RelationSparseForTokenClassification, **options: Any) -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32, "bigram_buckets": 64, "block_size": 16}
    return kind(RelationSparseConfig(**{**relation_settings(tokenizer), **sizes, "num_entities": 8, **options}))


def test_a_token_is_a_character(tokenizer: Any) -> None:
    for document, example in zip(DOCUMENTS, tag(DOCUMENTS, tokenizer), strict=True):
        assert tokenizer(document.text).input_ids == example.input_ids.tolist()
        assert len(example.input_ids) == len(example.labels) == len(example.types) == len(document.text)


def test_rare_and_new_characters_are_unknown(tokenizer: Any) -> None:
    once = next(c for c in DOCUMENTS[0].text if sum(d.text.count(c) for d in DOCUMENTS) == 1)
    assert tokenizer(once + "龘\n").input_ids == [1, 1, tokenizer.get_vocab()["\n"]]


def test_the_tokenizer_comes_back_from_disk(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    text = DOCUMENTS[0].text + "龘"
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids


def test_types_stand_where_entities_begin(tokenizer: Any) -> None:
    for document, example in zip(DOCUMENTS, tag(DOCUMENTS, tokenizer), strict=True):
        begun = {(entity.start, 1 + ENTITY_TYPES.index(entity.type)) for entity in document.entities}
        assert {(place, int(example.types[place])) for place in example.types.nonzero()[:, 0].tolist()} == begun


def test_sentence_ends_and_titles_are_tokens_of_the_text(tokenizer: Any) -> None:
    settings = relation_settings(tokenizer)
    assert tokenizer.decode(settings["sentence_ends"]).replace(" ", "") == "。！\n"  # these documents ask nothing
    titles = {tokenizer.decode(title).replace(" ", "") for title in settings["titles"]}
    assert {"记者", "主席"} <= titles <= set(TITLES)


def test_batches_depend_on_the_step_alone_and_an_epoch_has_each_document_once(tokenizer: Any) -> None:
    examples = tag(DOCUMENTS, tokenizer)
    batch_at = crops(examples, size=4, length=200, seed=5)
    steps = [batch_at(step) for step in range(3)]
    for step in (2, 0, 1):
        for one, other in zip(crops(examples, 4, 200, 5)(step), steps[step], strict=True):
            assert torch.equal(one.input_ids, other.input_ids)
            assert torch.equal(one.labels, other.labels)
    pieces = [tuple(example.input_ids.tolist()) for batch in steps for example in batch]
    assert all(len(crop) == 200 for crop in pieces)
    assert all(sum(spells(crop, example) for crop in pieces) == 1 for example in examples)
    assert not torch.equal(batch_at(0)[0].input_ids, batch_at(3)[0].input_ids)


def spells(crop: tuple[int, ...], example: Any) -> bool:
    ids = example.input_ids.tolist()
    return any(tuple(ids[start : start + len(crop)]) == crop for start in range(len(ids) - len(crop) + 1))


def test_spans_are_those_of_seqeval() -> None:
    generator = random.Random(0)
    for _ in range(20):
        gold, found = ([generator.choices(LABELS, k=60) for _ in range(3)] for _ in range(2))
        for labels in gold:  # what is annotated is well-formed
            for place, label in enumerate(labels):
                if label[0] == "I" and (place == 0 or labels[place - 1][1:] != label[1:]):
                    labels[place] = "O"
        ours = score([spans(labels) for labels in found], [spans(labels) for labels in gold])
        options = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
        assert ours["precision"] == pytest.approx(precision_score(gold, found, **options))
        assert ours["recall"] == pytest.approx(recall_score(gold, found, **options))
        assert ours["f1"] == pytest.approx(f1_score(gold, found, **options))


def test_a_document_spells_its_own_entities(tokenizer: Any) -> None:
    for document, example in zip(DOCUMENTS, tag(DOCUMENTS, tokenizer), strict=True):
        assert spans([LABELS[number] for number in example.labels]) == set(document.entities)


def test_nothing_found_scores_zero() -> None:
    assert score([[]], [[Entity(0, 1, "PER")]])["f1"] == 0
    assert score([[]], [[]])["f1"] == 0


def test_the_summed_loss_of_a_batch_is_the_sum_of_its_parts(tokenizer: Any) -> None:
    batch = crops(tag(DOCUMENTS, tokenizer), size=2, length=200)(0)
    model = small(tokenizer, entities="none").eval()
    parts = sum(loss_of(model, [example]) for example in batch)
    torch.testing.assert_close(loss_of(model, batch), parts)
    assert count_characters(batch) == 400


@pytest.mark.parametrize("kind", [RelationSparseForTokenClassification, LSTMTagger])
def test_a_tagger_learns_the_names_of_a_document_by_heart(tokenizer: Any, kind: type) -> None:
    document = DOCUMENTS[0]
    examples = tag([document], tokenizer)
    model = small(tokenizer, kind, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    fit(model, crops(examples, 1, len(document.text)), optimizer, 100, loss_of=loss_of, count=count_characters)
    assert evaluate(model, examples, [document])["f1"] > 0.9


def test_the_lstm_is_as_large_as_two_layers() -> None:
    settings = {
        "vocab_size": 3500,
        "num_hidden_layers": 2,
        "intermediate_size": 512,
        "bigram_buckets": 2**15,
        "num_labels": 7,
    }
    sizes = [
        sum(p.numel() for p in kind(RelationSparseConfig(**settings)).parameters())
        for kind in (RelationSparseForTokenClassification, LSTMTagger)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_gold_entities_are_read_in_place_of_the_gates(tokenizer: Any) -> None:
    (example,) = tag(DOCUMENTS[:1], tokenizer)
    model = small(tokenizer)
    (reading,) = read(model, [example], gold_entities=True)
    assert reading.chosen == gold_places(example, 8)[0].tolist()
    assert all(example.types[place] > 0 for place in reading.chosen)
    assert evaluate(model, [example], DOCUMENTS[:1], gold_entities=True)["gate"] == 1


def test_a_pair_of_tokens_has_its_own_vector_and_padding_changes_none(tokenizer: Any) -> None:
    model = small(tokenizer, entities="none").eval()
    ids = tag(DOCUMENTS[:1], tokenizer)[0].input_ids[None, :90]
    plain = model(ids).logits
    padded = torch.cat([ids, torch.full((1, 30), 7)], 1)
    mask = torch.cat([torch.ones(1, 90), torch.zeros(1, 30)], 1)
    torch.testing.assert_close(model(padded, mask).logits[:, :90], plain, atol=1e-5, rtol=1e-5)
    vectors = model.encoder.bigram(ids)
    moved = ids.clone()
    moved[0, 40] = moved[0, 40] % 50 + 1
    changed = (model.encoder.bigram(moved) != vectors).any(-1)[0].nonzero()[:, 0].tolist()
    assert set(changed) <= {39, 40, 41}
    assert 40 in changed


def test_documents_without_entities_are_read_too(tokenizer: Any) -> None:
    document = Document("今天。\n", ())
    assert evaluate(small(tokenizer), tag([document], tokenizer), [document])["recall"] == 0
