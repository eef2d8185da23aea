"""What is written under a schema parses and is valid, whatever the model prefers and wherever the limit lies."""

import json
import random
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.transformer.schema import (
    DEAD,
    END,
    SchemaAutomaton,
    SchemaError,
    SchemaProcessor,
    build,
    generate_json,
    resolved,
)

TEXTS = ['{"name": "é", "size": 12, "ok": true, "tags": ["a", "b"]}', "[1, 2, 3, null, false]", "naïve 囧 text 😀"]
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "size": {"type": "integer", "minimum": -3, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
        "inner": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
    },
    "required": ["name", "tags"],
}


@cache
def small_tokenizer():
    """A byte-level tokenizer with few tokens, some of which cross the borders of JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def written(automaton, draw, limit=None):
    """A text that a sampler without any preference writes."""
    state, tokens = automaton.start, []
    while state != automaton.ended and (limit is None or len(tokens) < limit):
        remaining = None if limit is None else limit - len(tokens)
        choices = automaton.allowed(state, remaining).nonzero()[0]
        assert len(choices), "no token is left"
        tokens.append(int(draw.choice(choices)))
        state = automaton.walk(tokens[-1:], state)
        assert state != DEAD
    return small_tokenizer().decode([token for token in tokens if token != automaton.end_token])


def accepts(schema, text):
    state = build(schema, {END: {}})
    for symbol in text.encode():
        if symbol not in state:
            return False
        state = state[symbol]
    return END in state


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=4)
leaves = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.one_of(names, st.integers(-99, 99), st.booleans()), min_size=1, max_size=4).map(lambda v: {"enum": v}),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(
        lambda n: {"type": "string", "minLength": n[0], "maxLength": n[0] + n[1]}
    ),
    st.tuples(st.integers(-300, 300), st.integers(0, 500)).map(
        lambda n: {"type": "integer", "minimum": n[0], "maximum": n[0] + n[1]}
    ),
)


def composed(part):
    objects = st.dictionaries(names, part, max_size=3).flatmap(
        lambda properties: st.lists(st.sampled_from([*properties] or [""]), unique=True).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": [name for name in required if name in properties],
            }
        )
    )
    arrays = st.tuples(part, st.integers(0, 2), st.integers(0, 2)).map(
        lambda n: {"type": "array", "items": n[0], "minItems": n[1], "maxItems": n[1] + n[2]}
    )
    return st.one_of(objects, arrays, st.lists(part, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}))


@settings(max_examples=60, deadline=None)
@given(st.recursive(leaves, composed, max_leaves=5), st.integers(0, 2**32))
def test_whatever_is_written_is_valid(schema, seed):
    automaton, draw = SchemaAutomaton(schema, small_tokenizer()), random.Random(seed)
    for limit in (None, automaton.fewest, automaton.fewest + 2):
        text = written(automaton, draw, limit)
        Draft202012Validator(schema).validate(json.loads(text))
        assert accepts(schema, text)


def test_at_any_limit_the_text_ends_in_time():
    automaton, draw = SchemaAutomaton(RECORD, small_tokenizer()), random.Random(0)
    for limit in range(automaton.fewest, automaton.fewest + 25):
        Draft202012Validator(RECORD).validate(json.loads(written(automaton, draw, limit)))


def test_the_allowed_tokens_are_those_that_can_be_walked():
    automaton, draw = SchemaAutomaton(RECORD, small_tokenizer()), random.Random(1)
    state = automaton.start
    while state != automaton.ended:
        allowed = automaton.allowed(state)
        for token in range(len(allowed)):
            after = automaton.walk([token], state)
            assert allowed[token] == (after != DEAD and automaton.cost[after] < 10**6)
        state = automaton.walk([int(draw.choice(allowed.nonzero()[0]))], state)


def test_no_state_is_without_a_token_at_the_last_moment():
    automaton = SchemaAutomaton(RECORD, small_tokenizer())
    for state in range(2, len(automaton.table)):
        cost = int(automaton.cost[state])
        assert automaton.allowed(state, max(cost, 1)).any()
        if cost:
            assert not automaton.allowed(state, cost - 1)[automaton.end_token]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-3, 120), (7, 1000), (-130, -7), (98, 102), (0, 9), (-1, 1)])
def test_integers_are_those_in_range(low, high):
    schema = {"type": "integer", "minimum": low, "maximum": high}
    assert [n for n in range(-1200, 1200) if accepts(schema, str(n))] == list(range(low, high + 1))
    for text in ("", "-", "-0", "007", "1.0", "+1", "1e1"):
        assert not accepts(schema, text)


@pytest.mark.parametrize("text", ["", "ab", "é囧", "😀", '"', "\\", "\n", "a/b"])
def test_strings_are_counted_in_characters(text):
    dumped = json.dumps(text, ensure_ascii=False)
    for shortest in range(4):
        for longest in range(shortest, 4):
            schema = {"type": "string", "minLength": shortest, "maxLength": longest}
            assert accepts(schema, dumped) == (shortest <= len(text) <= longest)


@pytest.mark.parametrize(
    "raw", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe0\x80\xaf", b"\x80", b"\xff", b"\n"]
)
def test_what_is_not_utf_8_cannot_be_written(raw):
    state = build({"type": "string", "maxLength": 4}, {END: {}})
    alive = True
    for byte in b'"' + raw + b'"':
        alive = alive and byte in state
        state = state.get(byte, {})
    assert not alive


@pytest.mark.parametrize(
    "value",
    [
        {"name": "ab", "tags": ["a"]},
        {"name": "ab", "size": 0, "tags": ["a", "b", "a"]},
        {"name": "a", "tags": ["b"], "inner": {}},
        {"name": "a", "size": -3, "tags": ["b"], "inner": {"ok": False}},
    ],
)
def test_valid_records_can_be_written(value):
    assert accepts(RECORD, json.dumps(value))


@pytest.mark.parametrize(
    "text",
    [
        '{"tags": ["a"]}',  # name is missing
        '{"tags": ["a"], "name": "ab"}',  # another order
        '{"name": "abcdef", "tags": ["a"]}',
        '{"name": "ab", "size": 121, "tags": ["a"]}',
        '{"name": "ab", "tags": []}',
        '{"name": "ab", "tags": ["a", "b", "a", "b"]}',
        '{"name": "ab", "tags": ["c"]}',
        '{"name": "ab", "tags": ["a"], "more": 1}',
        '{"name": "ab", "tags": ["a"],}',
        '{"name": "ab", "tags": ["a"]',
        '{"name": "ab", "tags": ["a"]}}',
    ],
)
def test_nearly_right_records_cannot_be_written(text):
    assert not accepts(RECORD, text)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "a+"}, "cannot enforce the keyword 'pattern'"),
        ({"type": "integer", "multipleOf": 2}, "cannot enforce the keyword 'multipleOf'"),
        ({"type": "integer", "maxLength": 2}, "cannot enforce the keyword 'maxLength'"),
        ({"type": "number"}, "cannot enforce type 'number'"),
        ({"oneOf": [{"type": "null"}]}, "cannot enforce the keyword 'oneOf'"),
        ({}, "one of type, enum, const and anyOf"),
        ({"anyOf": []}, "anyOf leaves nothing"),
        ({"enum": []}, "enum leaves nothing"),
        ({"type": "string", "enum": [1]}, "enum leaves nothing"),
        ({"type": "array"}, "an array needs"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength 5 is above maxLength 2"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "minimum 3 is above maximum 2"),
        ({"type": "string", "maxLength": -1}, "maxLength must be a whole number"),
        ({"type": "integer", "minimum": 0.5}, "minimum must be a whole number"),
        ({"type": "object", "required": ["a"]}, "'a' is required"),
        ({"$ref": "#/$defs/a"}, "nothing stands at"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "holds itself"),
    ],
)
def test_what_cannot_be_enforced_is_refused_in_both_languages(schema, message):
    with pytest.raises(SchemaError, match=message) as error:
        build(resolved(schema), {END: {}})
    english, chinese = str(error.value).split("\n")
    assert english.isascii()
    assert not chinese.isascii()


def test_references_are_read_as_pydantic_writes_them():
    schema = {
        "$defs": {"Size": {"title": "Size", "enum": [1, 2], "type": "integer"}},
        "type": "object",
        "properties": {
            "size": {"$ref": "#/$defs/Size"},
            "note": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]},
        },
        "required": ["size"],
        "title": "Shoe",
    }
    ready = resolved(schema)
    assert accepts(ready, '{"size": 2, "note": null}')
    assert accepts(ready, '{"size": 1}')
    assert not accepts(ready, '{"size": 3}')


def test_a_tokenizer_that_is_not_byte_level_is_refused():
    with pytest.raises(ValueError, match=r"not a byte-level one.*\n.*不是字节级"):
        SchemaAutomaton({"type": "null"}, load_tokenizer("minilm"))


def processor(schema, limit=None, prompt=2):
    return SchemaProcessor(SchemaAutomaton(schema, small_tokenizer()), prompt, limit)


def test_scores_of_allowed_tokens_are_left_and_more_columns_are_forbidden():
    constraint = processor({"type": "boolean"})
    scores = torch.randn(1, 400, dtype=torch.bfloat16)  # the model has more rows than the tokenizer tokens
    left = constraint(torch.zeros(1, 2, dtype=torch.long), scores)
    assert left.dtype is torch.bfloat16
    kept = left.isfinite()
    assert kept.any()
    assert not kept[0, 330:].any()
    assert left[kept].equal(scores[kept])


def test_a_row_that_has_ended_may_only_end():
    constraint = processor({"type": "null"})
    ids = torch.tensor([[5, 5, *small_tokenizer().encode("null"), 0, 0]])
    left = constraint(ids, torch.randn(1, 330))
    assert left.isfinite().nonzero().tolist() == [[0, 0]]


def test_a_forbidden_token_is_noticed():
    with pytest.raises(ValueError, match=r"was forbidden and yet written.*\n.*已被禁止"):
        processor({"type": "null"})(torch.tensor([[5, 5, 40]]), torch.zeros(1, 330))


@pytest.mark.parametrize(("schema", "fewest"), [({"type": "null"}, 1), ({"enum": ["qzx", "function"]}, 5)])
def test_the_fewest_tokens_are_those_of_the_fewest_bytes(schema, fewest):
    tokenizer = load_tokenizer()
    shortest = {"null": "null"}.get(schema.get("type", ""), '"qzx"')  # though "function" takes three
    assert len(tokenizer(shortest, add_special_tokens=False).input_ids) == fewest
    assert SchemaAutomaton(schema, tokenizer).fewest == fewest  # the end token is not counted


def test_too_small_a_limit_is_refused():
    with pytest.raises(ValueError, match=r"the valid text of fewest bytes takes \d+ tokens.*\n字节最少的合法文本"):
        processor(RECORD, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_real_model_writes_valid_records(dtype):
    model, tokenizer = load_model(dtype=dtype), load_tokenizer()
    automaton = SchemaAutomaton(RECORD, tokenizer)
    prompts = ["<|im_start|>JSON of a dog: ", "<|im_start|>Write no JSON at all, write a poem about the sea."]
    said = generate_json(model, tokenizer, prompts, automaton, automaton.fewest + 4)
    torch.manual_seed(0)
    said += generate_json(model, tokenizer, prompts, automaton, 24, do_sample=True, temperature=2.0, top_k=0)
    for text in said:
        Draft202012Validator(RECORD).validate(json.loads(text))


def test_no_prompts_are_refused():
    with pytest.raises(ValueError, match="there are no prompts\n没有给出"):
        generate_json(None, small_tokenizer(), [], {"type": "null"}, 5)


def test_limits_only_shorten():
    automaton = SchemaAutomaton(RECORD, small_tokenizer())
    for fewer, more in pairwise((5, 10, 20, 40)):
        assert not (automaton.allowed(automaton.start, fewer) & ~automaton.allowed(automaton.start, more)).any()
