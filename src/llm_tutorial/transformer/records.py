"""A task whose answer is JSON: what does this signature say? The right answer is read from the signature itself.

The functions are those of numpy, scipy and scikit-learn with one to six parameters (``llm_tutorial.data.documentation``).
"""

import ast
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from llm_tutorial.data.documentation import DocumentedObject, documented_objects

LIBRARIES = ("numpy", "scipy", "sklearn")
QUESTION = (
    'Describe the Python function as one line of JSON in this form: {"name": "...", "library": "...", '
    '"parameters": [{"name": "...", "optional": true}], "count": 1}. The library is numpy, scipy or sklearn; count is '
    "the number of parameters. Write the JSON only.\n\n"
)

RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 60},
        "library": {"enum": list(LIBRARIES)},
        "parameters": {
            "type": "array",
            "maxItems": 8,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 30}, "optional": {"type": "boolean"}},
                "required": ["name", "optional"],
                "additionalProperties": False,
            },
        },
        "count": {"type": "integer", "minimum": 0, "maximum": 8},
    },
    "required": ["name", "library", "parameters", "count"],
    "additionalProperties": False,
}
"""What every record is."""


class Task(NamedTuple):
    """A function, and its record.

    Attributes:
        text: Name with signature, and the summary on the next line.
        record: The right answer.
    """

    text: str
    record: dict[str, Any]


def record_tasks(split: str = "test") -> list[Task]:
    r"""Functions and their records, in a fixed random order.

    Args:
        split: Of ``documented_objects``.

    Example:
        >>> len(record_tasks("test"))
        221
        >>> task = record_tasks("test")[0]
        >>> task.text
        'sklearn.base.is_regressor(estimator)\nReturn True if the given estimator is (probably) a regressor.'
        >>> task.record["parameters"], task.record["count"]
        ([{'name': 'estimator', 'optional': False}], 1)
    """
    tasks = [
        Task(f"{found.name}{found.signature[found.signature.index('(') :]}\n{found.summary}", record)
        for library in LIBRARIES
        for found in documented_objects(split, library, 0)
        if found.kind == "function" and (record := _record(found))
    ]
    random.Random(0).shuffle(tasks)
    return tasks


def _record(found: DocumentedObject) -> dict[str, Any] | None:
    try:
        (function,) = ast.parse(f"def {found.signature}: pass").body
    except SyntaxError:
        return None
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        return None
    first = len(arguments.args) - len(arguments.defaults)
    parameters = [(argument.arg, place >= first) for place, argument in enumerate(arguments.args)]
    parameters += [
        (argument.arg, default is not None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if not 1 <= len(parameters) <= 6:
        return None
    return {
        "name": found.name,
        "library": found.name.partition(".")[0],
        "parameters": [{"name": name, "optional": optional} for name, optional in parameters],
        "count": len(parameters),
    }


def record_prompt(tokenizer: Any, task: Task, examples: Sequence[Task] = ()) -> str:
    """The whole prompt: the question, some examples as earlier turns, and the task.

    Args:
        tokenizer: With a chat template.
        task: What is asked.
        examples: Solved ones.
    """
    turns = [turn for shown in (*examples, task) for turn in (shown.text, json.dumps(shown.record))][:-1]
    turns[0] = QUESTION + turns[0]
    messages = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def judged(replies: Sequence[str], tasks: Sequence[Task]) -> dict[str, list[int]]:
    """What is right in each reply, as ones and zeros.

    The reply is read generously: what stands around its outermost braces does not count.

    Args:
        replies: One for each task.
        tasks: What was asked.

    Returns:
        Whether it ``parses`` and is ``valid``, which of its four parts are right, and whether ``all`` are.

    Example:
        >>> task = Task("f(x)", {"name": "f", "library": "numpy", "parameters": [], "count": 1})
        >>> said = '```{"name": "f", "library": "numpy", "parameters": [], "count": 2}```'
        >>> judged([said], [task])["valid"], judged([said], [task])["count"]
        ([1], [0])
    """
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(RECORD_SCHEMA)
    found: dict[str, list[int]] = {key: [] for key in ("parses", "valid", *RECORD_SCHEMA["properties"], "all")}
    for reply, task in zip(replies, tasks, strict=True):
        try:
            value = json.loads(reply[reply.index("{") : reply.rindex("}") + 1])
        except ValueError:
            value = None
        valid = value is not None and validator.is_valid(value)
        found["parses"].append(int(value is not None))
        found["valid"].append(int(valid))
        for key, right in task.record.items():
            found[key].append(int(valid and value[key] == right))
        found["all"].append(int(valid and value == task.record))
    return found
