"""The fixed English, and the two figures taken on it."""

import hashlib
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llm_tutorial.data.text import english_questions, held_out_english
from llm_tutorial.evaluation import PROMPT, choice_scores, perplexity, score_questions
from llm_tutorial.models import load_tokenizer

TEXTS = held_out_english()
QUESTIONS = english_questions()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer("smollm2-135m")


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """A tiny random decoder: enough to compare two ways of counting."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("held_out_english.txt", "b29c92edf866af17e36656ae18a8a6fefb91b4da17af28a09eda4817832529c0"),
        ("questions.json", "e725f62d92fde5a70fce44647347b4763fd8ca6e37254cdd4b5eed2e5e4ca0f1"),
    ],
)
def test_the_fixed_english_is_the_one_that_was_measured(name: str, digest: str) -> None:
    text = files("llm_tutorial.data").joinpath(name).read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_every_question_has_four_different_choices_with_one_answer() -> None:
    assert len(QUESTIONS) >= 120
    assert len({question.question for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert question.question.endswith("?")
        assert len(set(question.choices)) == 4
        assert question.answer in question.choices


def test_the_place_of_the_answer_gives_nothing_away() -> None:
    places = Counter(question.choices.index(question.answer) for question in QUESTIONS)
    assert min(places.values()) > len(QUESTIONS) / 8


def test_passages_are_long_enough_for_a_window_and_never_repeat() -> None:
    paragraphs = [paragraph for text in TEXTS for paragraph in text.split("\n\n")]
    assert len(set(paragraphs)) == len(paragraphs)
    assert min(map(len, paragraphs)) >= 250


def plain_score(model: LlamaForCausalLM, tokenizer: Any, prompt: str, choice: str) -> float:
    """The same figure, counted one token after another without batches, padding or cache."""
    given, whole = tokenizer(prompt).input_ids, tokenizer(f"{prompt} {choice}").input_ids
    with torch.inference_mode():
        likelihood = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    places = range(len(given), len(whole))
    return sum(likelihood[place - 1, whole[place]].item() for place in places) / len(places)


def test_scores_are_those_of_each_choice_alone(model: LlamaForCausalLM, tokenizer: Any) -> None:
    questions = QUESTIONS[::20]
    prompts = [PROMPT.format(question=question.question) for question in questions]
    choices = [question.choices for question in questions]
    plain = torch.tensor(
        [
            [plain_score(model, tokenizer, prompt, choice) for choice in options]
            for prompt, options in zip(prompts, choices, strict=True)
        ]
    )
    for batch_size in (1, 3, 16):
        scores = choice_scores(model, tokenizer, prompts, choices, batch_size)
        torch.testing.assert_close(scores, plain, rtol=1e-4, atol=1e-4)


def test_accuracy_is_the_share_of_right_choices(model: LlamaForCausalLM, tokenizer: Any) -> None:
    questions = QUESTIONS[:8]
    right = 0
    for question in questions:
        prompt = PROMPT.format(question=question.question)
        scores = {choice: plain_score(model, tokenizer, prompt, choice) for choice in question.choices}
        right += max(scores, key=scores.__getitem__) == question.answer
    assert score_questions(model, tokenizer, questions) == right / 8


def test_perplexity_is_the_mean_over_tokens_whatever_the_batch(model: LlamaForCausalLM, tokenizer: Any) -> None:
    texts = [TEXTS[0][:400], TEXTS[1][:90], "Hi there."]
    total, count = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor(tokenizer(text).input_ids)
            for window in ids.split(32):
                if len(window) > 1:
                    logits = model(window[None]).logits[0, :-1]
                    total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
                    count += len(window) - 1
    expected = torch.tensor(total / count).exp().item()
    for batch_size in (1, 2, 8):
        measured = perplexity(model, tokenizer, texts, window=32, batch_size=batch_size)
        assert measured == pytest.approx(expected, rel=1e-4)


def test_measuring_leaves_the_model_as_it_was(model: LlamaForCausalLM, tokenizer: Any) -> None:
    model.train()
    perplexity(model, tokenizer, ["Hello there."])
    choice_scores(model, tokenizer, ["One"], [["two", "three"]])
    assert model.training
    model.eval()
    perplexity(model, tokenizer, ["Hello there."])
    assert not model.training


def test_nothing_to_measure_is_a_clear_error(model: LlamaForCausalLM, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=r"nothing to predict[\s\S]*无可预测"):
        perplexity(model, tokenizer, [])
    with pytest.raises(ValueError, match="at least 2"):
        perplexity(model, tokenizer, TEXTS, window=1)
    with pytest.raises(ValueError, match="same number of choices"):
        choice_scores(model, tokenizer, ["a", "b"], [["x", "y"], ["x"]])
    with pytest.raises(ValueError, match="same number of choices"):
        score_questions(model, tokenizer, [])
