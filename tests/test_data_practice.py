"""A newspaper, reviews and messages of software: what is promised about their splits, spans and translations."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from llm_tutorial.data.messages import CHINESE, PLACEHOLDER, messages, neighbours
from llm_tutorial.data.people_daily import LABELS, TWO_CHARACTER_SURNAMES, bio_labels, people_daily
from llm_tutorial.data.reviews import joined_reviews, reviews
from llm_tutorial.data.splits import SPLITS, key_of, split_of

LOADERS = pytest.mark.parametrize("load", [people_daily, reviews, joined_reviews, messages])


@LOADERS
def test_a_second_call_gives_the_same(load) -> None:
    for split in SPLITS:
        first = load(split)
        assert load(split) == first
        first.clear()  # what is handed out belongs to the caller
        assert load(split)


@LOADERS
def test_an_unknown_split_is_a_clear_error(load) -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'; there are train, validation, test"):
        load("dev")


@pytest.mark.parametrize("load", [people_daily, joined_reviews])
def test_a_document_has_at_least_the_characters_asked_for(load) -> None:
    for characters in (1, 300, 2048):
        documents = load("test", characters)
        assert min(len(document.text) for document in documents) >= characters
        assert min(len(document.text.rpartition("\n")[0]) for document in documents) < characters
    with pytest.raises(ValueError, match="at least 1 character, not 0"):
        load("test", 0)


def test_the_newspaper_is_split_by_time_and_no_line_is_in_two_splits() -> None:
    lines = {split: [document.text for document in people_daily(split, characters=1)] for split in SPLITS}
    assert {split: len(of_split) for split, of_split in lines.items()} == {
        "train": 15195,
        "validation": 1900,
        "test": 1899,
    }
    every = [line for of_split in lines.values() for line in of_split]
    assert len(set(every)) == len(every)
    assert any("１月１日" in line for line in lines["train"][:200])
    assert any("１月３０日" in line for line in lines["test"])
    assert not any("１月３０日电" in line for line in lines["train"])


def test_documents_of_the_newspaper_are_its_lines_in_order() -> None:
    lines = [document.text for document in people_daily("validation", characters=1)]
    joined = "\n".join(document.text for document in people_daily("validation")).split("\n")
    assert joined == lines[: len(joined)]
    assert sum(map(len, lines[len(joined) :])) < 2048


def test_entities_spell_words_and_stand_in_order() -> None:
    for split in SPLITS:
        for text, entities in people_daily(split):
            assert not any(char.isspace() and char != "\n" for char in text)
            assert all(text[start:end] and "\n" not in text[start:end] for start, end, _ in entities)
            assert all(one.end <= two.start for one, two in pairwise(entities))
    documents = people_daily("train")
    named = Counter((text[start:end], kind) for text, entities in documents for start, end, kind in entities)
    for name in [("江泽民", "PER"), ("李鹏", "PER"), ("克林顿", "PER"), ("中国", "LOC"), ("新华社", "ORG")]:
        assert named[name] > 50
    assert named["陈方安生", "PER"] >= 10
    assert not any((surname, "PER") in named for surname in TWO_CHARACTER_SURNAMES)


def test_the_newspaper_has_the_entities_that_were_counted() -> None:
    counts = {
        split: Counter(entity.type for document in people_daily(split) for entity in document.entities)
        for split in SPLITS
    }
    assert counts["train"] == {"PER": 16521, "LOC": 22253, "ORG": 2789}
    assert counts["validation"] == {"PER": 1470, "LOC": 2333, "ORG": 366}
    assert counts["test"] == {"PER": 1908, "LOC": 3237, "ORG": 373}


def test_labels_give_the_entities_back() -> None:
    for document in people_daily("test"):
        labels = bio_labels(document)
        assert len(labels) == len(document.text)
        assert set(labels) <= set(LABELS)
        starts = [place for place, label in enumerate(labels) if label.startswith("B-")]
        found = []
        for start in starts:
            end = start + 1
            while end < len(labels) and labels[end] == f"I-{labels[start][2:]}":
                end += 1
            found.append((start, end, labels[start][2:]))
        assert tuple(found) == document.entities


def test_no_review_is_in_two_splits_or_has_two_labels() -> None:
    split_reviews = {split: reviews(split) for split in SPLITS}
    keys = [key_of(review.text) for of_split in split_reviews.values() for review in of_split]
    assert len(keys) == len(set(keys)) == 17066
    openings = [{key_of(review.text)[:20] for review in of_split} for of_split in split_reviews.values()]
    assert not openings[0] & openings[1]
    assert not openings[0] & openings[2]
    assert not openings[1] & openings[2]
    assert Counter(review.label for of_split in split_reviews.values() for review in of_split) == {0: 8884, 1: 8182}


def test_the_first_reviews_are_a_fair_sample() -> None:
    assert 0.4 < sum(review.label for review in reviews("train")[:500]) / 500 < 0.6


def test_spans_spell_reviews_with_their_labels() -> None:
    for split in SPLITS:
        known = {review.text: review.label for review in reviews(split)}
        used = []
        for text, spans in joined_reviews(split):
            assert [text[span.start : span.end] for span in spans] == text.split("\n")
            assert all(known[text[start:end]] == label for start, end, label in spans)
            used += text.split("\n")
        assert len(used) == len(set(used)) > 0.98 * len(known)


def test_another_seed_joins_other_reviews() -> None:
    assert joined_reviews("test", seed=1) != joined_reviews("test", seed=0)


def test_no_english_message_is_in_two_splits() -> None:
    keys = {split: {key_of(message.english) for message in messages(split)} for split in SPLITS}
    assert not keys["train"] & keys["validation"]
    assert not keys["train"] & keys["test"]
    assert not keys["validation"] & keys["test"]


def test_every_message_is_translated_with_its_placeholders() -> None:
    pairs = [message for split in SPLITS for message in messages(split)]
    assert len({(message.english, message.chinese) for message in pairs}) == len(pairs) == 8029
    for english, chinese in ((message.english, message.chinese) for message in pairs):
        assert english == english.strip() != chinese == chinese.strip()
        assert CHINESE.search(chinese)
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(chinese))


def test_messages_come_from_five_packages() -> None:
    counts = Counter(message.catalogue.partition("/")[0] for split in SPLITS for message in messages(split))
    assert counts == {
        "jupyterlab_language_pack_zh_CN": 3077,
        "spyder": 2040,
        "wagtail": 1308,
        "sphinx": 846,
        "django": 758,
    }


def test_neighbours_are_of_train_and_of_the_same_catalogue() -> None:
    train = set(messages("train"))
    for split in SPLITS:
        for message in messages(split)[::20]:
            near = neighbours(message, 3)
            assert set(near) <= train
            assert {other.catalogue for other in near} <= {message.catalogue}
            assert [other.index for other in near] == sorted(other.index for other in near)
            assert key_of(message.english) not in {key_of(other.english) for other in near}
            assert sum(other.index < message.index for other in near) <= 3
            assert sum(other.index > message.index for other in near) <= 3
    with pytest.raises(ValueError, match="at least 1 neighbour"):
        neighbours(message, 0)


def test_eight_in_ten_keys_are_of_train() -> None:
    shares = Counter(split_of(str(number)) for number in range(10_000))
    assert shares["train"] == pytest.approx(8000, abs=150)
    assert shares["validation"] == pytest.approx(1000, abs=150)


def test_nothing_needs_the_network_after_the_first_use() -> None:
    for load in (people_daily, messages):
        load("test")
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from llm_tutorial.data.messages import messages\n"
        "from llm_tutorial.data.people_daily import people_daily\n"
        "from llm_tutorial.data.reviews import reviews\n"
        "print(len(people_daily('test')), len(reviews('test')), len(messages('test')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["80", "1689", "838"], done.stderr
    assert done.stderr == ""
