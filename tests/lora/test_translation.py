"""The translator reads training messages alone, keeps translations apart, and learns to copy."""

from pathlib import Path

import pytest
import torch

from llm_tutorial.data.messages import Message, messages
from llm_tutorial.data.splits import key_of
from llm_tutorial.lora import translation
from llm_tutorial.lora.translation import (
    ASK,
    END,
    PAIR,
    TO,
    Reader,
    Translator,
    collate,
    count_for,
    fill_placeholders,
    held_out_loss,
    load_translator,
    loss_for,
    number_placeholders,
    save_translator,
    score,
    source_relations,
    targets,
    train_translator,
    translator_config,
)  # fmt: skip

ENGLISH = ("Open the file", "Close the file", "Open %s", "Delete %s", "Save all files", "Save the file as %s")
CHINESE = ("打开文件", "关闭文件", "打开 %s", "删除 %s", "保存所有文件", "将文件另存为 %s")
TRAINING = [Message(*pair, "app", place) for place, pair in enumerate(zip(ENGLISH, CHINESE, strict=True))]
HELD_OUT = [Message("Delete the file", "删除文件", "app", 2), Message("Close %s", "关闭 %s", "app", 3)]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_entities": 4, "block_size": 16}


def reader(**options: object) -> Reader:
    return Reader(TRAINING, vocabulary=300, **options)  # type: ignore[arg-type]


def untrained(read: Reader, **options: object) -> Translator:
    torch.manual_seed(0)
    return Translator(translator_config(read, **SMALL | options)).eval()


def test_numbered_placeholders_come_back_in_a_translation() -> None:
    english, chinese = "%(name)s has {count} of {count} files", "{count} 个文件，%(name)s 有 {count} 个"
    assert number_placeholders(english, english) == "⟨0⟩ has ⟨1⟩ of ⟨1⟩ files"
    assert fill_placeholders(number_placeholders(chinese, english), english) == chinese


def test_the_memory_never_answers_with_another_wording_of_the_message() -> None:
    training = messages("train")[:600]
    memory = translation.TranslationMemory(training)
    assert all(
        key_of(near.english) != key_of(message.english)
        for near, message in zip(memory.nearest(training), training, strict=True)
    )


def test_the_memory_answers_with_the_placeholders_of_the_message() -> None:
    assert translation.TranslationMemory(TRAINING).translate([Message("Open {0}", "", "app", 0)]) == ["打开 {0}"]


def test_a_row_shows_no_translation_of_what_it_asks_for() -> None:
    read = reader(memory=False)
    (row,) = read.held_out(HELD_OUT)
    assert [asked.message for asked in row.asked] == HELD_OUT
    for asked in row.asked:
        assert row.input_ids[asked.start : asked.end] == [ASK, *read.ids(asked.message)[0]]
        assert row.input_ids[asked.end] in (PAIR, ASK)
    assert row.input_ids.count(TO) == len(TRAINING)


def test_a_neighbour_from_the_memory_stands_before_the_message() -> None:
    read = reader()
    (row,) = read.held_out(HELD_OUT)
    for asked in row.asked:
        english, chinese = read.ids(read.nearest[asked.message])
        assert row.input_ids[asked.near : asked.start] == [PAIR, *english, TO, *chinese, END]


@pytest.mark.parametrize(
    "context", [{}, {"memory": False}, {"catalogue": False}, {"catalogue": False, "memory": False}]
)
def test_the_same_messages_are_asked_for_whatever_the_context(context: dict) -> None:
    def asked(read: Reader) -> list[Message]:
        return [one.message for step in range(5) for row in read.batches(seed=1)(step) for one in row.asked]

    assert asked(reader(**context)) == asked(reader())
    assert asked(reader())


def test_rows_are_no_longer_than_asked() -> None:
    rows = reader(length=60).held_out(HELD_OUT)
    assert len(rows) > 1
    assert all(len(row.input_ids) <= 60 for row in rows)


def test_translations_of_a_row_do_not_see_each_other() -> None:
    read = reader()
    rows, model = read.held_out(HELD_OUT), untrained(read)
    written = targets(read, rows)
    together = model(collate(rows, written))
    other = [[written[0][0], [TO] * len(written[0][1])]]
    assert torch.allclose(model(collate(rows, other))[: len(written[0][0])], together[: len(written[0][0])], atol=1e-5)


def test_a_translation_does_not_see_what_it_will_be() -> None:
    read = reader()
    rows, model = read.held_out(HELD_OUT[:1]), untrained(read)
    ids = targets(read, rows)[0][0]
    whole = model(collate(rows, [[ids]]))
    assert torch.allclose(model(collate(rows, [[[*ids[:2], END]]])), whole[:3], atol=1e-5)


def test_probabilities_sum_to_one() -> None:
    read = reader()
    rows = read.held_out(HELD_OUT)
    total = untrained(read)(collate(rows, targets(read, rows))).exp().sum(-1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-4)


def test_what_follows_the_last_written_token_is_marked() -> None:
    read = reader(memory=False)
    rows = read.held_out(HELD_OUT[:1])
    batch = collate(rows, targets(read, rows))
    follows, near, message = source_relations(batch)[0].unbind(-1)
    ids, start = rows[0].input_ids, rows[0].asked[0].start
    assert [place for place in range(1, len(ids)) if ids[place - 1] == TO] == follows[0].nonzero()[:, 0].tolist()
    assert not near.any()
    assert message[0].nonzero()[:, 0].tolist() == list(range(start, rows[0].asked[0].end))


def test_greedy_translation_takes_the_likeliest_token_each_time() -> None:
    read = reader()
    rows, model = read.held_out(HELD_OUT), untrained(read)
    together = model.translate(rows, read.tokenizer)
    for place, asked in enumerate(rows[0].asked):
        ids = list[int]()
        alone = [rows[0]._replace(asked=[asked])]
        while len(ids) < translation.LONGEST and (not ids or ids[-1] != END):
            ids.append(int(model(collate(alone, [[[*ids, END]]]))[-1].argmax()))
        text = read.tokenizer.decode([token for token in ids if token > END], skip_special_tokens=False)
        assert together[HELD_OUT[place]] == fill_placeholders(text, asked.message.english).strip()


def test_the_loss_is_that_of_the_labels() -> None:
    read = reader()
    rows, model = read.held_out(HELD_OUT), untrained(read)
    batch = collate(rows, targets(read, rows))
    expected = -model(batch).gather(1, batch.labels[batch.number >= 0][:, None]).sum()
    assert count_for(read)(rows) == int((batch.number >= 0).sum())
    assert torch.allclose(loss_for(read)(model, rows, None), expected)
    assert held_out_loss(model, read, rows) == pytest.approx(expected.item() / count_for(read)(rows), rel=1e-5)


def test_training_lowers_the_loss_and_repeats_itself() -> None:
    _, losses, _ = train_translator(reader(), 12, 1e-2, **SMALL)
    assert train_translator(reader(), 12, 1e-2, **SMALL)[1] == losses
    assert losses[-1] < losses[0]


def test_a_saved_translator_comes_back(tmp_path: Path) -> None:
    read = reader()
    rows, model = read.held_out(HELD_OUT), untrained(read)
    save_translator(model, read.tokenizer, tmp_path)
    loaded, tokenizer = load_translator(tmp_path)
    batch = collate(rows, targets(read, rows))
    assert torch.allclose(loaded(batch), model(batch), atol=0.02)  # half precision
    assert tokenizer.to_str() == read.tokenizer.to_str()


def test_scores_tell_lost_placeholders() -> None:
    assert score(dict.fromkeys(HELD_OUT, "关闭 %s"))["placeholders"] == 1
    assert score(dict.fromkeys(HELD_OUT, "关闭"))["placeholders"] == 0
