import pytest

from llm_tutorial.models import load_tokenizer

TALK = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And 3 + 3?"},
]


def expected(messages, add_generation_prompt):
    tokenizer = load_tokenizer("smollm2-135m")
    return tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt
    )


def test_a_system_message_is_kept(answer):
    talk = [{"role": "system", "content": "Be brief."}, *TALK]
    assert answer.render(talk) == expected(talk, False), pytest.say(
        f"Wanted {expected(talk, False)!r}, got {answer.render(talk)!r}. "
        "Mind the line break after the last turn.",
        f"应为 {expected(talk, False)!r}，得到 {answer.render(talk)!r}。"
        "注意最后一轮之后也有换行。",
    )


def test_without_one_the_default_goes_first(answer):
    assert answer.render(TALK).startswith("<|im_start|>system\n"), pytest.say(
        "The talk has no system message: SYSTEM goes first.",
        "对话里没有系统消息：要先放上 SYSTEM。",
    )
    assert answer.render(TALK) == expected(TALK, False), pytest.say(
        f"Wanted {expected(TALK, False)!r}, got {answer.render(TALK)!r}.",
        f"应为 {expected(TALK, False)!r}，得到 {answer.render(TALK)!r}。",
    )


def test_the_generation_prompt_opens_the_assistants_turn(answer):
    text = answer.render(TALK, add_generation_prompt=True)
    assert text == expected(TALK, True), pytest.say(
        f"With add_generation_prompt the text ends in {expected(TALK, True)[-24:]!r}, "
        f"yours in {text[-24:]!r}.",
        f"有 add_generation_prompt 时，文本以 {expected(TALK, True)[-24:]!r} 结尾，"
        f"你的以 {text[-24:]!r} 结尾。",
    )
