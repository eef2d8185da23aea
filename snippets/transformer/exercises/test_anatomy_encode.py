import json

import pytest
from tokenizers import Tokenizer, models, trainers

TEXT = [
    "low lower lowest newer newest wider widest banana bananas",
    "abababab aaaa 北京北京市",
]


def test_a_pair_is_joined_wherever_it_stands(answer):
    pieces = answer.encode("xabab", [("a", "b")])
    assert "".join(pieces) == "xabab", pytest.say(
        f"The pieces {pieces} no longer make the word 'xabab'.",
        f"这些片段 {pieces} 拼不回原来的词 'xabab'。",
    )
    assert pieces == ["x", "ab", "ab"], pytest.say(
        f"The rule a + b stands twice in 'xabab', not at its start; you gave {pieces}.",
        f"规则 a + b 在 'xabab' 里出现两次，都不在词首；你给出的是 {pieces}。",
    )


def test_an_overlap_is_joined_from_the_left(answer):
    pieces = answer.encode("aaa", [("a", "a")])
    assert pieces == ["aa", "a"], pytest.say(
        f"'aaa' with the rule a + a is 'aa', 'a'; you gave {pieces}.",
        f"规则 a + a 用在 'aaa' 上，应得 'aa'、'a'；你给出的是 {pieces}。",
    )


def test_it_cuts_like_the_library(answer):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=60, show_progress=False)
    )
    rules = [tuple(rule) for rule in json.loads(tokenizer.to_str())["model"]["merges"]]
    for word in ("lower", "banana", "newestwidest", "abaab", "北京市"):
        theirs = [piece.value for piece in tokenizer.model.tokenize(word)]
        ours = answer.encode(word, rules)
        assert ours == theirs, pytest.say(
            f"The library cuts {word!r} into {theirs}, you into {ours}: "
            "are the rules applied in their order?",
            f"库把 {word!r} 切成 {theirs}，你切成 {ours}：规则是按顺序用的吗？",
        )
