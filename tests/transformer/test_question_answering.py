import copy
import doctest
import itertools
import random
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import BertConfig, BertForQuestionAnswering

from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer import question_answering, question_data
from llm_tutorial.transformer.question_answering import (
    Prediction,
    batches,
    best_span,
    best_threshold,
    by_kind,
    collate,
    exact,
    f1,
    f1_crossed,
    f1_each,
    interval,
    judge,
    lexical,
    loss_of,
    own_tokenizer,
    predict,
    predict_windows,
    scores,
    span_loss,
    threshold_curve,
    windows,
    words_of,
)
from llm_tutorial.transformer.question_data import (
    WORDINGS,
    QuestionExample,
    answer_line,
    lengthened,
    question_examples,
    written_examples,
)


def example(answer: str = "Monday", context: str = "The week begins on Monday.", question: str = "Which day?"):
    start = context.index(answer) if answer else -1
    return QuestionExample("week", question, context, answer, start, False, "")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    return BertForQuestionAnswering(config).eval()


@pytest.mark.parametrize("module", [question_answering, question_data])
def test_examples_of_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_no_module_territory_or_passage_is_in_two_splits():
    parts = [question_examples(split, 13 * 20) for split in ("train", "validation", "test")]
    for key in ("group", "context"):
        found = [{getattr(each, key) for each in part} for part in parts]
        assert sum(map(len, found)) == len(set.union(*found))


def test_no_line_that_answers_is_read_in_training():
    known = {line for each in question_examples("train", 4800) for line in each.context.split("\n")}
    for split in ("validation", "test"):
        answered = [each for each in question_examples(split, 13 * 40) if each.answer]
        assert len(answered) > 300
        assert not [each for each in answered if answer_line(each) in known]


def test_answers_stand_where_they_are_said_to():
    found = [*question_examples("validation", 13 * 20), *written_examples()]
    for each in [*found, *lengthened(found[:130])]:
        assert each.context[each.start :].startswith(each.answer) if each.answer else each.start == -1


def says(each: QuestionExample) -> bool:
    """Whether the passage says what is asked, found without the answer."""
    names, lines = each.question.split("`")[1::2], each.context.split("\n")
    if each.kind in ("type", "meaning"):
        return any(f"\n{one} : " in each.context and other in each.context for one, other in (names, names[::-1]))
    if each.kind == "default":
        return all(name in each.context for name in names)
    if each.kind == "name":
        return any(f" {line.lower().rstrip('.')}" in each.question.lower() for line in lines if line)
    if names:
        return names[0] in each.context
    words = {"currency": "currency", "language": "language", "week": "week"}
    word = words.get(each.kind, {"货币": "货币", "语言": "语言", "星期": "一周"}.get(each.kind, ""))
    paragraphs = [line.replace("：", ": ").partition(": ") for line in lines if line]
    return any(name in each.question and word in rest for name, _, rest in paragraphs)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_passage_says_what_is_asked_only_where_there_is_an_answer(split):
    for each in question_examples(split, 13 * 40):
        assert says(each) == bool(each.answer), each


def test_passage_by_hand_holds_its_answer():
    for each in written_examples():
        assert not each.answer or each.context.count(each.answer)


def test_only_the_test_set_has_new_wordings():
    assert not any(each.new_wording for each in question_examples("train", 130))
    test = question_examples("test", 260)
    assert sum(each.new_wording for each in test) == 130
    assert {each.kind for each in test} == set(WORDINGS)


def test_draw_depends_on_the_seed_alone():
    assert question_examples("test", 26) == question_examples("test", 26) != question_examples("test", 26, seed=1)


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        question_examples("dev")


def test_windows_cover_the_passage_and_overlap(tokenizer):
    context = " ".join(f"word{number}" for number in range(200))
    found = windows(tokenizer, [example("word150", context)], max_length=64, stride=16)
    assert len(found) > 3
    assert all(len(window.input_ids) <= 64 for window in found)
    covered = [{place for span in window.offsets if span for place in range(*span)} for window in found]
    assert set.union(*covered) == {place for place, letter in enumerate(context) if letter != " "}
    assert all(one & other for one, other in itertools.pairwise(covered))
    holding = next(window for window in found if window.start)
    left, right = holding.offsets[holding.start][0], holding.offsets[holding.end][1]
    assert context[left:right] == "word150"


@pytest.mark.parametrize("overlap", [16, 40])
@pytest.mark.parametrize("place", range(0, 120, 7))
def test_answer_no_longer_than_the_overlap_stands_whole_in_a_window(tokenizer, place, overlap):
    words = ["a"] * 120
    longest = slice(place, place + overlap + 1)
    words[longest] = ["b"] * len(words[longest])
    answer = " ".join(word for word in words if word == "b")
    found = windows(tokenizer, [example(answer, " ".join(words))], max_length=64, stride=overlap)
    assert any(window.start for window in found)


def test_question_that_leaves_no_room_is_refused_in_both_languages(tokenizer):
    with pytest.raises(ValueError, match=r"(?s)no room.*放不下"):
        windows(tokenizer, [example(question="why " * 80)], max_length=64, stride=16)


def test_padding_changes_nothing(tokenizer, small):
    short, long = windows(tokenizer, [example(), example(context="The week begins on Monday. " * 3)])
    with torch.inference_mode():
        alone = small(**collate([short], 0)).start_logits[0]
        padded = small(**collate([short, long], 0)).start_logits[0, : len(alone)]
    assert torch.allclose(alone, padded, atol=1e-5)


def test_loss_is_that_of_the_library(tokenizer, small):
    cuts = windows(tokenizer, [example(), example("")])
    starts, ends = torch.tensor([[cut.start, cut.end] for cut in cuts]).T
    theirs = small(**collate(cuts, 0), start_positions=starts, end_positions=ends).loss
    assert torch.allclose(loss_of(small, cuts, "cpu") / 2, theirs, atol=1e-6)
    assert cuts[1].start == cuts[1].end == 0


def test_loss_is_the_same_inside_the_wrapper_for_several_devices(tokenizer, small):
    cuts = windows(tokenizer, [example(), example("")])

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = small

        def forward(self, **inputs):
            return self.module(**inputs)

    assert torch.equal(loss_of(Wrapper(), cuts, "cpu"), loss_of(small, cuts, "cpu"))


def test_span_loss_is_lowest_at_the_right_tokens():
    start, end = torch.zeros(1, 5), torch.zeros(1, 5)
    start[0, 1] = end[0, 3] = 9
    right, wrong = (span_loss(start, end, torch.tensor([1]), torch.tensor([last])) for last in (3, 2))
    assert right < 0.01 < wrong


@pytest.mark.parametrize("seed", range(20))
def test_best_span_is_that_of_a_loop(seed):
    torch.manual_seed(seed)
    start, end, allowed = torch.randn(12), torch.randn(12), torch.rand(12) > 0.3
    allowed[int(torch.randint(12, ()))] = True
    spans = [
        (float(start[i] + end[j]), i, j)
        for i in range(12)
        for j in range(i, min(i + 4, 12))
        if allowed[i] and allowed[j]
    ]
    first, last, score = best_span(start, end, allowed, max_answer=4)
    assert (score, first, last) == max(spans)


def test_no_allowed_token_is_said_in_both_languages():
    with pytest.raises(ValueError, match=r"(?s)no token.*没有可以"):
        best_span(torch.zeros(3), torch.zeros(3), torch.zeros(3, dtype=torch.bool))


def test_predictions_do_not_depend_on_the_batch(tokenizer, small):
    examples = question_examples("validation", 26)
    one, many = (predict(small, tokenizer, examples, batch_size=size) for size in (1, 8))
    assert [each.text for each in one] == [each.text for each in many]
    assert all(each.text == e.context[each.start :][: len(each.text)] for each, e in zip(one, examples, strict=True))


def test_predictions_do_not_look_at_the_answers(tokenizer, small):
    examples = question_examples("validation", 13)
    hidden = [each._replace(answer="", start=-1) for each in examples]
    assert predict(small, tokenizer, examples) == predict(small, tokenizer, hidden)


class Stub(nn.Module):
    """Knows the scores of three words; every score of a window with “alpha” is 100 higher."""

    def __init__(self, tokenizer):
        super().__init__()
        self.config, self.anything = SimpleNamespace(pad_token_id=0), nn.Parameter(torch.zeros(1))
        words = {"alpha": (-1.0, 0.0), "beta": (1.0, 1.0), "gamma": (-0.5, 0.0), "[CLS]": (0.0, 0.0)}
        self.table = torch.full((len(tokenizer), 2), -9.0)
        for word, both in words.items():
            self.table[tokenizer.convert_tokens_to_ids(word)] = torch.tensor(both)
        self.alpha = tokenizer.convert_tokens_to_ids("alpha")

    def forward(self, input_ids, attention_mask):
        found = self.table[input_ids] + 100.0 * (input_ids == self.alpha).any(1)[:, None, None]
        return SimpleNamespace(start_logits=found[..., 0], end_logits=found[..., 1])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_window_with_the_smallest_difference_gives_the_answer(tokenizer, batch_size):
    words = ["x"] * 120
    words[5], words[60], words[115] = "alpha", "beta", "gamma"
    asked = example("beta", " ".join(words))
    options = {"max_length": 64, "stride": 8, "batch_size": batch_size}
    (windows_of_it,) = predict_windows(Stub(tokenizer), tokenizer, [asked], **options)
    assert [window.text for window in windows_of_it] == ["alpha", "beta", "gamma"]
    assert [window.no_answer for window in windows_of_it] == [1.0, -2.0, 0.5]
    assert max(windows_of_it, key=lambda window: window.score).text == "alpha"  # its score is of another level
    assert predict(Stub(tokenizer), tokenizer, [asked], **options) == [windows_of_it[1]]
    assert windows_of_it[1].start == asked.start


def test_model_is_given_no_token_types(tokenizer, small):
    cuts = windows(tokenizer, [example()])
    assert set(collate(cuts, 0)) == {"input_ids", "attention_mask"}
    read = tokenizer("Which day?", example().context, return_tensors="pt")
    zeros = {"token_type_ids": torch.zeros_like(read["token_type_ids"])}
    with torch.inference_mode():
        untyped = small(**collate(cuts, 0)).start_logits
        assert torch.allclose(small(**read | zeros).start_logits, untyped, atol=1e-6)
        assert not torch.allclose(small(**read).start_logits, untyped, atol=1e-3)


def test_wrapper_of_peft_drops_token_types(tokenizer, small):
    adapted = get_peft_model(copy.deepcopy(small), LoraConfig("QUESTION_ANS", target_modules=["query"])).eval()
    read = tokenizer("Which day?", example().context, return_tensors="pt")
    with torch.inference_mode():
        wrapped, inner = adapted(**read).start_logits, adapted.base_model.model(**read).start_logits
        del read["token_type_ids"]
        assert torch.equal(wrapped, adapted(**read).start_logits)
    assert not torch.allclose(wrapped, inner, atol=1e-3)


def test_nothing_asked_is_nothing_predicted(tokenizer, small):
    assert predict(small, tokenizer, []) == []


def test_empty_passage_has_no_answer(tokenizer, small):
    (said,) = predict(small, tokenizer, [example("", "")])
    assert said.text == ""
    assert said.no_answer == float("inf")


def test_same_step_has_the_same_batch_and_all_windows_are_used(tokenizer):
    found = windows(tokenizer, question_examples("validation", 130))
    draw, again = batches(found, 8, seed=3), batches(found, 8, seed=3)
    assert draw(5) == again(5) != batches(found, 8, seed=4)(5)
    seen = [window.example for step in range(len(found) // 8) for window in draw(step)]
    assert len(set(seen)) == len(seen) == 128


@pytest.mark.parametrize(
    ("predicted", "gold", "same"),
    [("`None`", "none", 1), ("the int", "int", 1), ("1", "-1", 0), ("0.5", "0.5", 1), ("=", '"="', 0), ("星期一", "星期一。", 1)],
)  # fmt: skip
def test_exact_match(predicted, gold, same):
    assert exact(predicted, gold) == same


def test_f1_counts_repeated_words_once_each():
    assert f1("int int", "int") == pytest.approx(2 / 3)
    assert f1("日元", "日本日元") == pytest.approx(2 / 3)
    assert words_of("") == []


def test_refusing_all_scores_the_unanswerable():
    examples = [example(), example("")]
    said = [Prediction("Monday", 19, 1.0, -3.0), Prediction("The", 0, 1.0, 2.0)]
    assert scores(said, examples, -9)["f1"] == 50
    assert scores(said, examples, -9)["refused"] == 100
    assert scores(said, examples, 0)["em"] == 100
    assert by_kind(said, examples, 9) == {"week": 50}


def test_threshold_is_the_best_of_the_curve():
    rng = random.Random(0)
    examples = [example() if rng.random() < 0.5 else example("") for _ in range(40)]
    said = [Prediction("Monday", 19, 0.0, rng.gauss(0 if each.answer else 1.5, 1)) for each in examples]
    at = best_threshold(said, examples)
    assert scores(said, examples, at)["f1"] == max(value for _, value in threshold_curve(said, examples))


def test_threshold_of_one_half_is_chosen_on_the_other():
    examples = [example(), example("")] * 2  # even places can be answered, odd ones cannot
    said = [Prediction("Monday", 19, 1.0, delta) for delta in (2.0, -3.0, 2.0, -3.0)]
    assert f1_crossed(said, examples) == [0.0] * 4  # each half asks for what is wrong for the other
    own = [best_threshold(said[half::2], examples[half::2]) for half in (0, 1)]
    assert [f1_each(said[half::2], examples[half::2], own[half]) for half in (0, 1)] == [[1.0, 1.0]] * 2


def test_interval_is_wider_where_groups_are_alike():
    values = [float(number // 10 % 2) for number in range(200)]
    alone, grouped = (interval(values, [str(n // size) for n in range(200)]) for size in (1, 10))
    assert alone[0] == grouped[0] == 0.5
    assert grouped[2] - grouped[1] > 2 * (alone[2] - alone[1])
    assert interval([1.0] * 9, list("aaabbbccc")) == (1.0, 1.0, 1.0)


def test_judge_takes_the_threshold_of_the_same_length():
    def says_nothing_is_here(delta):
        return lambda part: [Prediction(each.answer or "It", 0, 0.0, delta[len(each.context) > 30]) for each in part]

    short, long = example(), example(context="The week begins on Monday. It ends on Sunday.")
    sets = {"validation": [short], "test": [short, short._replace(new_wording=True)], "longer": [long]}
    found = judge(says_nothing_is_here({False: -5.0, True: 5.0}), sets | {"written": [long]})
    assert found["thresholds"]["one window"] < 0 < found["thresholds"]["longer"]
    assert {name: part["f1"] for name, part in found["sets"].items()} == dict.fromkeys(
        ("validation", "test", "longer", "written", "seen wordings", "new wordings"), 100
    )
    assert found["each"] == {"test": [1.0, 1.0], "written": [1.0]}


def test_f1_of_each_is_what_scores_average():
    examples = [example(), example("")]
    said = [Prediction("on Monday", 16, 1.0, -3.0), Prediction("The", 0, 1.0, 2.0)]
    assert f1_each(said, examples, 0.0) == [pytest.approx(2 / 3), 1.0]
    assert scores(said, examples, 0.0)["f1"] == pytest.approx(100 * 5 / 6)


def test_lexical_baseline_returns_a_part_of_the_passage_that_shares_words():
    context = "wrap(text)\nWrap a paragraph.\n\ndedent(text)\nRemove leading whitespace."
    (said,) = lexical([example("", context, "How do I remove whitespace?")])
    assert said.text == "Remove leading whitespace." == context[said.start :]


def test_own_tokenizer_knows_both_languages_and_tells_question_from_passage():
    tokenizer = own_tokenizer(["The default is None. 一周从星期一开始。"] * 3)
    read = tokenizer("星期一", "The default")
    assert read.sequence_ids(0) == [None, 0, 0, 0, None, 1, 1, None]
    assert tokenizer.unk_token_id not in read.input_ids
    assert tokenizer.convert_ids_to_tokens(read.input_ids)[1:4] == list("星期一")


def test_own_tokenizer_is_the_same_in_every_order_of_texts():
    texts = ["abab abc bc", "bc ab", "从星期一开始"]
    one, other = (own_tokenizer(part, 20).get_vocab() for part in (texts, texts[::-1]))
    assert one == other
    assert len(one) == 22  # specials and all characters, however small the vocabulary is to be
