import pytest

from llm_tutorial.transformer.retrieval import BM25

TEXTS = [
    "Open a file and read its lines.",
    "A lock is a lock: a thread that holds the lock may read.",
    "Close the file.",
    "Read, read, read: the reader reads a very long text about nothing in particular.",
]


def grown(answer, count):
    index = answer.GrowingIndex()
    for text in TEXTS[:count]:
        index.add(text)
    return index


def test_scores_are_those_of_a_new_index(answer):
    index = grown(answer, 4)
    wanted = BM25(TEXTS).scores("read the lock").tolist()
    found = [index.score("read the lock", at) for at in range(4)]
    assert found == pytest.approx(wanted, abs=1e-4), pytest.say(
        f"An index of all four texts gives {wanted}, this one {found}: how many texts "
        "hold a word, and how many words are there?",
        f"由全部四段文本建立的索引给出 {wanted}，这里是 {found}："
        "一个词有几段文本含有它？一共有多少个词？",
    )


def test_a_repeated_word_is_one_text(answer):
    index = grown(answer, 2)
    held = index.holding["lock"]
    assert held == 1, pytest.say(
        f"One text has the word lock, three times; holding says {held}.",
        f"只有一段文本含有 lock（三次），holding 却是 {held}。",
    )


def test_scores_move_when_a_text_comes(answer):
    index = grown(answer, 2)
    before = index.score("file", 0)
    index.add(TEXTS[2])
    wanted = BM25(TEXTS[:3]).scores("file")[0].item()
    assert index.score("file", 0) == pytest.approx(wanted, abs=1e-4), pytest.say(
        f"After a third text with the word file, text 0 scores {wanted:.3f} (it was "
        f"{before:.3f}); got {index.score('file', 0):.3f}.",
        f"加入第三段含有 file 的文本之后，第 0 段应得 {wanted:.3f}"
        f"（原来是 {before:.3f}），得到 {index.score('file', 0):.3f}。",
    )
