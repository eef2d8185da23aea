"""Tasks whose answer is JSON, and how replies are judged."""

import json

import pytest
from jsonschema import Draft202012Validator

from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.records import RECORD_SCHEMA, Task, judged, record_prompt, record_tasks

RECORD = {"name": "numpy.f", "library": "numpy", "parameters": [{"name": "x", "optional": False}], "count": 1}
TASK = Task("numpy.f(x)\nDo it.", RECORD)


def test_all_records_are_valid_and_say_what_the_signature_says():
    tasks = record_tasks("test")
    assert len(tasks) == 221
    for task in tasks:
        Draft202012Validator(RECORD_SCHEMA).validate(task.record)
        assert task.text.startswith(f"{task.record['name']}(")
        assert all(parameter["name"] in task.text for parameter in task.record["parameters"])
        assert len(task.record["parameters"]) == task.record["count"]


def test_examples_come_from_other_functions():
    assert not {task.text for task in record_tasks("train")} & {task.text for task in record_tasks("test")}


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (json.dumps(RECORD), {"parses", "valid", "name", "library", "parameters", "count", "all"}),
        (
            f"Sure:\n```json\n{json.dumps(RECORD, indent=2)}\n```",
            {"parses", "valid", "name", "library", "parameters", "count", "all"},
        ),
        (json.dumps(RECORD | {"count": 2}), {"parses", "valid", "name", "library", "parameters"}),
        (json.dumps(RECORD | {"parameters": []}), {"parses", "valid", "name", "library", "count"}),
        (json.dumps(RECORD | {"library": "torch"}), {"parses"}),
        (json.dumps(RECORD | {"more": 1}), {"parses"}),
        (json.dumps(RECORD)[:-1], set()),
        (str(RECORD), set()),
        ("", set()),
    ],
)
def test_a_half_right_reply_is_half_right(reply, right):
    assert {key for key, values in judged([reply], [TASK]).items() if values == [1]} == right


def test_examples_stand_as_earlier_turns():
    prompt = record_prompt(load_tokenizer(), TASK, [TASK, TASK])
    assert prompt.count(json.dumps(RECORD)) == 2
    assert prompt.count("Describe the Python function") == 1
    assert prompt.endswith("<|im_start|>assistant\n")
