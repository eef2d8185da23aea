"""Documentation: what is promised about its texts, splits and questions."""

import doctest
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

from llm_tutorial.data.documentation import (
    LIBRARIES,
    documentation_questions,
    documented_objects,
    object_passages,
    reference_passages,
)
from llm_tutorial.data.splits import SPLITS, key_of
from llm_tutorial.data.text import held_out_english

TOOL = Path(__file__).parents[1] / "tools" / "extract_documentation.py"
EVERY = {library: {split: documented_objects(split, library, words=0) for split in SPLITS} for library in LIBRARIES}
OBJECTS = [found for of_library in EVERY.values() for of_split in of_library.values() for found in of_split]
PASSAGES = {passage.id: passage for passage in [*reference_passages(), *object_passages()]}
QUESTIONS = {split: documentation_questions(split) for split in SPLITS}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extract_documentation", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_the_objects_that_were_counted() -> None:
    counts = {library: [len(documented_objects(split, library)) for split in SPLITS] for library in LIBRARIES}
    assert counts == {
        "python": [969, 235, 205],
        "numpy": [270, 40, 122],
        "scipy": [621, 121, 95],
        "sklearn": [405, 19, 58],
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_text_stands_in_two_splits(library: str) -> None:
    for part in ("name", "summary", "body"):
        texts = [{key_of(getattr(found, part)) for found in EVERY[library][split]} - {""} for split in SPLITS]
        assert not any(one & other for one, other in combinations(texts, 2))
    modules = [{found.module for found in EVERY[library][split]} for split in SPLITS]
    assert not any(one & other for one, other in combinations(modules, 2))


@pytest.mark.parametrize("library", LIBRARIES)
def test_hardly_a_sequence_of_words_is_shared_between_splits(library: str) -> None:
    def shingles(split: str) -> list[set[str]]:
        texts = [f"{found.summary} {found.body}".lower().split() for found in documented_objects(split, library)]
        return [{" ".join(words[place : place + 8]) for place in range(len(words) - 7)} for words in texts]

    known = set[str]().union(*shingles("validation"), *shingles("test"))
    assert all(len(found & known) <= len(found) / 5 for found in shingles("train"))


def test_nothing_is_there_twice() -> None:
    for of_library in EVERY.values():
        texts = [key_of(found.summary + found.body) for of_split in of_library.values() for found in of_split]
        assert len(set(texts)) == len(texts)
    passages = [key_of(passage.text) for passage in reference_passages()]
    assert len(set(passages)) == len(passages) == 510


def test_a_summary_is_one_sentence_that_the_body_does_not_repeat() -> None:
    for found in OBJECTS:
        assert found.summary == found.summary.strip()
        assert "\n" not in found.summary
        assert found.summary.endswith((".", "!", "?"))
        assert 2 <= len(found.summary.split()) <= 60
        assert not re.search(
            r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)(?<!cf)(?<!no)(?<!al)(?<!\.\.)[.!?] [A-Z]", found.summary
        )
        assert found.summary.rstrip(".") not in " ".join(found.body.split())


def test_no_summary_is_a_signature_or_written_by_a_program() -> None:
    for found in OBJECTS:
        name = re.escape(found.name.rpartition(".")[2])
        assert not re.match(rf"(\w+\.)*{name}\(", found.summary)
        assert not re.match("Alias for field|Return self|See help|Initialize self|Deprecated", found.summary)
        assert "->" not in found.summary


def test_bodies_have_the_length_asked_for_and_an_end() -> None:
    for words in (25, 100):
        assert min(len(found.body.split()) for found in documented_objects("test", words=words)) >= words
    assert max(len(found.body) for found in OBJECTS) <= 4000
    assert all(found.body == found.body.strip("\n") for found in OBJECTS)


def test_little_markup_is_left() -> None:
    texts = [passage.text for passage in PASSAGES.values()] + [found.body for found in OBJECTS]
    prose = [line for text in texts for line in text.split("\n") if not line.startswith("    ")]
    for markup in (r":(func|class|meth|mod|ref|attr|math):`", r"^ *\.\. \w+::", "\0", "\t\t", r"%\(\w+\)s"):
        assert sum(bool(re.search(markup, line)) for line in prose) <= 2, markup


def test_kinds_are_four_and_names_are_public() -> None:
    assert Counter(found.kind for found in OBJECTS).keys() == {"module", "class", "function", "method"}
    for library, of_library in EVERY.items():
        names = [found.name for of_split in of_library.values() for found in of_split]
        assert len(set(names)) == len(names)
        assert not any(part.startswith("_") for name in names for part in name.split("."))
        assert library == "python" or all(name.split(".")[0] == library for name in names)


def test_parameters_stand_apart_in_numpydoc() -> None:
    (average,) = (found for found in EVERY["numpy"]["train"] + EVERY["numpy"]["test"] if found.name == "numpy.average")
    assert [parameter.name for parameter in average.parameters] == ["a", "axis", "weights", "returned", "keepdims"]
    assert average.parameters[1].type == "None or int or tuple of ints, optional"
    assert not any(found.parameters for of_split in EVERY["python"].values() for found in of_split)
    with_parameters = [found for found in OBJECTS if found.parameters]
    assert len(with_parameters) > 2000
    assert all(parameter.name and parameter.description for found in with_parameters for parameter in found.parameters)


def test_passages_are_of_readable_size_and_come_from_78_topics() -> None:
    assert len(PASSAGES) == len(reference_passages()) + len(object_passages())
    assert len({passage.topic for passage in reference_passages()}) == 78
    lengths = [len(passage.text) for passage in reference_passages()]
    assert min(lengths) >= 40
    assert sum(length > 1000 for length in lengths) <= 15
    assert max(lengths) <= 1600
    for passage in reference_passages():
        assert passage.heading
        assert "::=" not in passage.text
        assert not passage.text.rstrip().endswith(":")


def test_passages_say_what_the_objects_say() -> None:
    said = "".join(passage.text for passage in object_passages()).split()
    objects = [found for split in SPLITS for found in documented_objects(split)]
    assert Counter("".join(said)) == Counter(
        "".join(f"{found.summary}{found.body}" for found in objects).replace(" ", "").replace("\n", "")
    )


def test_the_passages_shared_with_the_held_out_english_are_few() -> None:
    paragraphs = [key_of(line)[:80] for text in held_out_english() for line in text.split("\n\n")]
    shared = [passage for passage in reference_passages() if any(line in key_of(passage.text) for line in paragraphs)]
    assert len(shared) == 57
    bodies = [key_of(found.summary + found.body) for found in OBJECTS]
    assert not any(line in body for line in paragraphs for body in bodies)


def test_an_answer_stands_in_each_of_its_passages() -> None:
    for question in (question for of_split in QUESTIONS.values() for question in of_split):
        assert question.passages
        for place in question.passages:
            assert question.answer in PASSAGES[place].text, question
        assert question.answer == question.answer.strip()


def test_questions_are_many_different_and_not_copied() -> None:
    questions = [question for of_split in QUESTIONS.values() for question in of_split]
    assert Counter(bool(question.answer) for question in questions) == {True: 132, False: 36}
    assert len({key_of(question.question) for question in questions}) == len(questions)
    text = key_of(" ".join(passage.text for passage in PASSAGES.values()))
    for question in questions:
        assert question.question.endswith("?")
        assert question.question[0].isupper()
        assert key_of(question.question) not in text
        assert len(question.answer) <= 200


def test_no_topic_is_asked_about_in_two_splits() -> None:
    topics = [
        {PASSAGES[place].topic for question in of_split for place in question.passages}
        for of_split in QUESTIONS.values()
    ]
    assert not any(one & other for one, other in combinations(topics, 2))


def test_a_second_call_gives_the_same() -> None:
    for load in (documented_objects, documentation_questions):
        first = load("test")
        assert load("test") == first
        first.clear()
        assert load("test")


def test_unknown_names_are_clear_errors() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'; there are train, validation, test"):
        documented_objects("dev")
    with pytest.raises(ValueError, match="unknown split"):
        documentation_questions("dev")
    with pytest.raises(ValueError, match="unknown library 'pandas'; there are python, numpy, scipy, sklearn"):
        documented_objects("test", "pandas")


def test_loading_takes_less_than_a_second_and_no_network() -> None:
    code = (
        "import socket, sys, time\n"
        "def refuse(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from llm_tutorial.data.documentation import documentation_questions, documented_objects\n"
        "start = time.process_time()\n"
        "documented_objects('test'), documentation_questions('test')\n"
        "print(time.process_time() - start)\n"
        "assert not {'numpy', 'scipy', 'sklearn', 'llm_tutorial.fetch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert float(done.stdout) < 1, done.stderr


@pytest.mark.skipif(sys.version_info[:3] != (3, 11, 7) or sys.platform != "linux", reason="made there")
def test_the_committed_file_is_what_the_tool_extracts(tool: ModuleType) -> None:
    """In a process of its own: other libraries add methods to the standard library's classes."""
    code = (
        "import importlib.util, json, sys\n"
        "spec = importlib.util.spec_from_file_location('tool', sys.argv[1])\n"
        "tool = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(tool)\n"
        "json.dump([tool.reference(), list(tool.standard_library())], sys.stdout)\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, str(tool.__file__)]
    reference, library = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    passages = [{"topic": found.topic, "heading": found.heading, "text": found.text} for found in reference_passages()]
    assert reference == passages
    objects = {found.name: found for of_split in EVERY["python"].values() for found in of_split}
    for entry in library:  # a Python without Tk has fewer
        assert objects[entry["name"]]._replace(parameters=())._asdict() == {**entry, "parameters": ()}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Call :func:`~os.path.join` on\n``a`` and *b*.", "Call `os.path.join` on `a` and b."),
        ("Takes ``*args`` and `**kwargs`, x**2 * y.", "Takes `*args` and `**kwargs`, x**2 * y."),
        ("`x` and `__init__` of heap[0] [1]_", "`x` and `__init__` of heap[0]"),
        ("See the `guide <https://x.org/y>`_.", "See the guide."),
        ("a comma-\nseparated list", "a comma-separated list"),
    ],
)
def test_prose_loses_its_markup(tool: ModuleType, text: str, plain: str) -> None:
    assert tool.plain(text) == plain


def test_the_examples_in_the_tool_are_true(tool: ModuleType) -> None:
    assert doctest.testmod(tool).failed == 0


def test_code_keeps_its_lines_and_lists_their_items(tool: ModuleType) -> None:
    text = "Usage::\n\n    with a:\n        b()\n\n        c()\n\n- one\n  more\n- two\n\n.. versionadded:: 3\n\nEnd."
    assert tool.blocks(text) == ["Usage:", "    with a:\n        b()\n\n        c()", "- one more\n- two", "End."]
