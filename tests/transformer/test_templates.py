"""Right and wrong chat templates, and how replies are judged."""

import pytest

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.transformer.templates import WRAPPINGS, replies, says


def test_all_wrappings_keep_the_question_and_only_one_is_the_models_own():
    tokenizer = load_tokenizer()
    texts = {name: wrapping(tokenizer, "Why?") for name, wrapping in WRAPPINGS.items()}
    assert all("Why?" in text for text in texts.values())
    assert len(set(texts.values())) == len(texts)
    own = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Why?"}], tokenize=False, add_generation_prompt=True
    )
    assert [name for name, text in texts.items() if text == own] == ["its own"]


def test_replies_in_a_batch_are_those_of_each_alone():
    model, tokenizer = load_model(), load_tokenizer()
    prompts = [WRAPPINGS["its own"](tokenizer, q) for q in ("What is the capital of France?", "Name a colour.")]
    together = replies(model, tokenizer, prompts, max_new_tokens=10)
    assert together == [replies(model, tokenizer, [prompt], max_new_tokens=10)[0] for prompt in prompts]
    assert together[0].ended
    assert says(together[0].text, "Paris")


def test_an_empty_reply_is_none_when_the_end_is_forbidden():
    model, tokenizer = load_model(), load_tokenizer()
    prompt = WRAPPINGS["none"](tokenizer, "What is the capital of France?")
    assert replies(model, tokenizer, [prompt], max_new_tokens=4)[0] == ("", True)
    assert replies(model, tokenizer, [prompt], max_new_tokens=4, min_new_tokens=4)[0].text


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [("It is paris.", "Paris", True), ("Parisian", "Paris", False), ("120", "12", False), ("", "12", False)],
)
def test_an_answer_counts_as_words_of_its_own(reply, answer, right):
    assert says(reply, answer) is right
