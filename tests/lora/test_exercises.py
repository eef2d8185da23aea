"""The checkers are checked: a skeleton and a typical mistake fail with a message that helps, the solution passes."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from llm_tutorial.data.people_daily import Document, Entity
from llm_tutorial.lora.encoder import RelationSparseConfig
from llm_tutorial.lora.tagging import loss_of, read, relation_settings, tag
from llm_tutorial.tokenizers import character_tokenizer
from tutorial_site import stamps

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "snippets/lora/exercises"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("test_", "conftest")))
HINTS = {
    "attention_gradient": "each row of dS must sum to zero",
    "attention_groups": "read the wrong keys and values",
    "attention_mask": "its padding is read",
    "attention_merge": "add the sums of the parts",
    "efficiency_block": "operations over",
    "efficiency_crossover": "halfway: at 256",
    "efficiency_pairs": "64 keys of its own block",
    "merge": "alpha/rank",
    "scaling": "factor squared times the rank",
    "masking": "must be -100",
    "dora": "divide each output feature",
    "practice_bootstrap": "tested on different items",
    "practice_rule": "stand in their text only once",
    "practice_spans": "The I-PER at 0 continues nothing",
    "sparse_bigbird": "No random block was added",
    "sparse_choice": "looks ahead",
    "sparse_layers": "too many",
}
MISTAKES = {
    "attention_gradient": (" - (P * dP).sum(-1, keepdim=True)", "", "must sum to zero"),
    "attention_groups": (
        "repeat_interleave(heads // groups, dim=1)",
        "repeat(1, heads // groups, 1, 1)",
        "groups alternate",
    ),
    "attention_mask": ("place[:, None] >= place", "place[:, None] > place", "read itself"),
    "attention_merge": ("(lses - total).exp()", "lses.exp() / lses.exp().sum(0)", "take the difference before exp"),
    "efficiency_block": ("3 * 2 * keys", "2 * keys", "4·(2·64 + 6·224) bytes"),
    "efficiency_crossover": (
        "math.log(ratios[last]), math.log(ratios[last + 1])",
        "ratios[last] - 1, ratios[last + 1] - 1",
        "halfway",
    ),
    "efficiency_pairs": (" + entities * length", "", "Entities count twice"),
    "merge": ("alpha / rank * ", "", "not scaled by alpha / rank"),
    "scaling": ("rank**0.5", "rank**0.1", "falls too slowly"),
    "masking": ("end + 1 :", "end:", "never learn to stop"),
    "dora": (".detach()", "", "detach() the norm"),
    "practice_bootstrap": ("means <= 0", "means < 0", "漏了打成平手的那些次"),
    "practice_rule": ("row * len(idf) + input_ids", "input_ids", "must not be counted together"),
    "practice_spans": ('start is None and label != "O"', 'label != "O"', "that continues an entity begins none"),
    "sparse_bigbird": (".masked_fill(blocks, -1)", "", "from outside the window"),
    "sparse_choice": ("above & (above.cumsum(1) <= limit)", "above", "At most 2 places"),
    "sparse_layers": ("-(-n // b)", "n // b", "a block begun counts as one"),
}


def stamped(name: str, *rest: str) -> object:
    """An exercise that did not change since its test passed is left out."""
    files = [FOLDER / f"{part}{name}.py" for part in ("", "solutions/", "test_")]
    key = partial(stamps.of_files, ROOT, [*files, FOLDER / "conftest.py", Path(__file__)])
    return pytest.param(name, *rest, marks=pytest.mark.stamp(key, what="tests of exercises"))


EXERCISES = [stamped(name) for name in NAMES]


class Result(NamedTuple):
    returncode: int
    stdout: str


def check(name: str, **environment: str) -> Result:
    """Runs a checker in this process: one of its own would mostly import PyTorch."""
    command = ["-q", "-p", "no:cacheprovider", "--capture=sys", f"{FOLDER}/test_{name}.py"]
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(io.StringIO()) as said:
        return Result(pytest.main(command), said.getvalue())


def test_command_of_a_page_runs_the_checker():
    name = NAMES[0]
    command = [sys.executable, "-m", "pytest", f"snippets/lora/exercises/test_{name}.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert HINTS[name] in done.stdout


@pytest.mark.parametrize("name", EXERCISES)
def test_skeleton_fails_with_a_hint_in_both_languages(name):
    result = check(name)
    assert result.returncode == 1
    assert HINTS[name] in result.stdout
    assert any("\u4e00" <= character <= "\u9fff" for character in result.stdout)


@pytest.mark.parametrize("name", EXERCISES)
def test_solution_passes(name):
    result = check(name, EXERCISE_SOLUTION="1")
    assert result.returncode == 0, result.stdout


def check_mistaken(name: str, right: str, wrong: str, folder: Path) -> Result:
    solution = (FOLDER / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    assert right in solution
    answer = folder / "answer.py"
    answer.write_text(solution.replace(right, wrong), encoding="utf-8")
    return check(name, EXERCISE_ANSWER=str(answer))


@pytest.mark.parametrize("name", EXERCISES)
def test_typical_mistake_is_named(name, tmp_path):
    right, wrong, hint = MISTAKES[name]
    result = check_mistaken(name, right, wrong, tmp_path)
    assert result.returncode == 1
    assert hint in result.stdout


@pytest.mark.parametrize(
    ("name", "right", "wrong", "hint"),
    [
        stamped("practice_bootstrap", "drawn.mean(1)", "drawn.mean(0)", "not over the resamples"),
        stamped("practice_bootstrap", "default_rng(seed)", "default_rng()", "The same seed twice"),
        stamped("practice_bootstrap", "[2.5, 97.5]", "[5, 95]", "2.5% beyond each end"),
        stamped("practice_rule", " & (input_ids > 0)", "", "The last token of this text stands at 39"),
        stamped("practice_rule", "rarity.sort(", "(rarity + torch.arange(rarity.shape[1]) / 1e4).sort(", "of equal ones the earlier"),
        stamped("practice_spans", 'label != f"I-{labels[start][2:]}"', 'label[0] != "I"', "it lasts as long as I-"),
    ],
)  # fmt: skip
def test_further_mistakes_are_named(name, right, wrong, hint, tmp_path):
    result = check_mistaken(name, right, wrong, tmp_path)
    assert result.returncode == 1
    assert hint in result.stdout


def test_entities_by_rule_train_and_read_like_the_other_models_of_the_comparison():
    spec = importlib.util.spec_from_file_location("rule", FOLDER / "solutions/practice_rule.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    document = Document(
        "李鹏会见江泽民。晚上，江泽民回京。", (Entity(0, 2, "PER"), Entity(4, 7, "PER"), Entity(11, 14, "PER"))
    )
    tokenizer = character_tokenizer([document.text], at_least=1)
    examples = tag([document], tokenizer)
    settings = relation_settings(tokenizer)
    idf = rule.inverse_document_frequency(examples, settings["vocab_size"])
    model = rule.EntitiesByRule(
        RelationSparseConfig(**settings, hidden_size=16, num_hidden_layers=2, num_entities=8), idf
    )
    loss_of(model, examples).backward()
    assert model.encoder.layers[1].attention.relation_key.grad.abs().sum() > 0
    assert [place for place in read(model, examples)[0].chosen if place >= 0] == [4, 5, 11, 12]


@pytest.mark.parametrize("start", ["0", "prompt_length - 1"])
def test_a_pad_token_inside_the_prompt_does_not_end_the_answer(start, tmp_path):
    result = check_mistaken("masking", "end = prompt_length\n", f"end = {start}\n", tmp_path)
    assert result.returncode == 1
    assert "behind the prompt" in result.stdout
    assert "从提示之后找起" in result.stdout
