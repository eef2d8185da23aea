from types import SimpleNamespace

import pytest

LLAMA = SimpleNamespace(
    num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, head_dim=128
)


def test_keys_and_values_are_both_kept(answer):
    one_head = SimpleNamespace(
        num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, head_dim=64
    )
    found = answer.texts_that_fit(one_head, tokens=10, memory=25_600)
    assert found == 10, pytest.say(
        "One layer, one head of 64 numbers, 2 bytes each: a token takes 256 bytes, "
        f"keys and values, so 10 texts of 10 tokens fill 25,600 bytes; yours: {found}.",
        "一层、一个 64 维的头、每个数 2 字节：一个词元的键和值共 256 字节，"
        f"10 条 10 个词元的文本正好占 25,600 字节；你的结果是 {found}。",
    )


def test_query_heads_do_not_count(answer):
    found = answer.texts_that_fit(LLAMA, tokens=8192, memory=40 * 2**30)
    assert found == 40, pytest.say(
        "The queries of past tokens are never needed again: only num_key_value_heads "
        f"(8 of 32 here) are kept. Wanted 40 texts, got {found}.",
        "过去的词元，查询不会再用到；留下的只有 num_key_value_heads 个头"
        f"（这里 32 个里的 8 个）。应为 40 条，得到 {found}。",
    )


def test_bytes_of_a_number_count(answer):
    found = answer.texts_that_fit(LLAMA, 8192, 40 * 2**30, number_bytes=1)
    assert found == 80, pytest.say(
        f"In 8 bits twice as many fit: 80, not {found}.",
        f"每个数 8 比特时装得下两倍：80 条，而不是 {found}。",
    )


def test_a_part_of_a_text_is_none(answer):
    found = answer.texts_that_fit(LLAMA, 8192, 2**30 - 1)
    assert found == 0, pytest.say(
        f"One byte less than a whole text needs: none fits, yours: {found}.",
        f"比一条文本所需少一个字节：一条也装不下，你的结果是 {found}。",
    )
