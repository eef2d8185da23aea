import pytest


def test_each_chinese_character_is_a_word(answer):
    assert answer.words("从星期一开始") == list("从星期一开始"), pytest.say(
        f"“从星期一开始” gives {answer.words('从星期一开始')}; it has six characters, so six words.",
        f"「从星期一开始」切成了 {answer.words('从星期一开始')}；它有六个字，应当是六个词。",
    )
    assert answer.words("Return None") == ["return", "none"], pytest.say(
        f"“Return None” gives {answer.words('Return None')}; words without Chinese stay whole, in lower case.",
        f"「Return None」切成了 {answer.words('Return None')}；不含汉字的词应保持完整，并转为小写。",
    )
    assert answer.words("默认 int 类型") == ["默", "认", "int", "类", "型"], pytest.say(
        f"“默认 int 类型” gives {answer.words('默认 int 类型')}: a space is no word, and int is one.",
        f"「默认 int 类型」切成了 {answer.words('默认 int 类型')}：空格不是词，int 是一个词。",
    )
    assert answer.words("用int值") == ["用", "int", "值"], pytest.say(
        f"“用int值” gives {answer.words('用int值')}: a word ends where a Chinese character begins, without a space.",
        f"「用int值」切成了 {answer.words('用int值')}：碰到汉字，前面的词就到头了，不需要空格。",
    )


def test_half_an_answer_earns_something(answer):
    assert answer.f1("日元", "日本日元") == pytest.approx(2 / 3), pytest.say(
        f"“日元” for “日本日元” gives {answer.f1('日元', '日本日元'):.2f}; 2 of 2 and 2 of 4 characters make 2/3.",
        f"答「日元」、标准答案「日本日元」时得 {answer.f1('日元', '日本日元'):.2f}；2/2 与 2/4 的调和平均应为 2/3。",
    )
    assert answer.f1("", "") == 1 and answer.f1("", "日元") == 0
