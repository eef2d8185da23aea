import pytest


def test_padding_counts(answer):
    count = answer.take([10, 10, 100, 10], budget=200)
    assert count == 2, pytest.say(
        f"Lengths 10, 10, 100, budget 200: three texts are padded to 3 × 100 = 300, so "
        f"the batch has 2; you took {count}.",
        f"长度 10、10、100，预算 200：三段填充后是 3 × 100 = 300，"
        f"所以这批取 2 段；你取了 {count} 段。",
    )


def test_the_longest_may_be_the_first(answer):
    count = answer.take([100, 10, 10, 10], budget=200)
    assert count == 2, pytest.say(
        f"Lengths 100, 10, 10, 10, budget 200: a third text would be padded to 100 as "
        f"well; you took {count}.",
        f"长度 100、10、10、10，预算 200：第三段也要填充到 100；你取了 {count} 段。",
    )


def test_equal_lengths_fill_the_budget(answer):
    count = answer.take([16] * 40, budget=256)
    assert count == 16, pytest.say(
        f"Forty texts of 16 tokens, budget 256: 16 fit exactly; you took {count}.",
        f"四十段各 16 个词元，预算 256：正好放得下 16 段；你取了 {count} 段。",
    )


def test_a_text_beyond_the_budget_goes_alone(answer):
    count = answer.take([300, 10], budget=200)
    assert count == 1, pytest.say(
        f"The first text is larger than the budget; you took {count}, and with 0 it, "
        "and all behind it, would wait for ever.",
        f"第一段就超出预算；你取了 {count} 段。取 0 段的话，它和后面的都会永远等下去。",
    )


def test_nobody_is_overtaken(answer):
    count = answer.take([20, 100, 20, 20], budget=120)
    assert count == 1, pytest.say(
        f"The second text does not fit, so the batch ends before it; you took {count}. "
        "Who came later may not overtake.",
        f"第二段放不下，这批就到它之前为止；你取了 {count} 段。后来的不能插队。",
    )


def test_all_that_wait_may_fit(answer):
    assert answer.take([5, 7], budget=100) == 2, pytest.say(
        "Two short texts fit, and nobody else waits.",
        "两段短文本放得下，后面也没有人了。",
    )
