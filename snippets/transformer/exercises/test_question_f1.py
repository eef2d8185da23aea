import pytest


def test_each_chinese_character_is_a_word(answer):
    for text, right, english, chinese in (
        (
            "从星期一开始",
            list("从星期一开始"),
            "it has six characters, so six words",
            "它有六个字，应当是六个词",
        ),
        (
            "Return None",
            ["return", "none"],
            "words without Chinese stay whole, in lower case",
            "不含汉字的词应保持完整，并转为小写",
        ),
        (
            "默认 int 类型",
            ["默", "认", "int", "类", "型"],
            "a space is no word, and int is one",
            "空格不是词，int 是一个词",
        ),
        (
            "用int值",
            ["用", "int", "值"],
            "a word ends where a Chinese character begins, without a space",
            "碰到汉字，前面的词就到头了，不需要空格",
        ),
    ):
        found = answer.words(text)
        assert found == right, pytest.say(
            f"“{text}” gives {found}: {english}.",
            f"「{text}」切成了 {found}：{chinese}。",
        )


def test_half_an_answer_earns_something(answer):
    found = answer.f1("日元", "日本日元")
    assert found == pytest.approx(2 / 3), pytest.say(
        f"“日元” for “日本日元” gives {found:.2f}; 2 of 2 and 2 of 4 make 2/3.",
        f"答「日元」、标准答案「日本日元」时得 {found:.2f}；"
        "2/2 与 2/4 的调和平均应为 2/3。",
    )
    assert answer.f1("", "") == 1
    assert answer.f1("", "日元") == 0
