"""How windows are joined, how long they are and how far they overlap, with the reader.

Nothing is trained. Plan, in minutes of one core: texts of one to five passages, 3;
window, overlap and length of answers, 4: about 7.
"""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.results import weights
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.transformer.question_answering import (
    f1_crossed,
    predict,
    predict_windows,
)
from llm_tutorial.transformer.question_data import lengthened, question_examples

SWEEP = {
    "window 128": {},
    "window 64": {"max_length": 64, "stride": 24},
    "window 256": {"max_length": 256},
    "overlap 8": {"stride": 8},
    "answer 5": {"max_answer": 5},
    "answer 120": {"max_answer": 120},
}

torch.set_num_threads(1)
logging.set_verbosity_error()
long_run = LongRun("question_windows", Path(__file__))
few = long_run.few
validation = question_examples("validation", 260)
long_run.data = {"validation": data_digest(validation)}
tokenizer = load_tokenizer("minilm")
base = BertForQuestionAnswering.from_pretrained(model_folder("minilm"))
reader = PeftModel.from_pretrained(base, weights("transformer", "question_reader"))


def by_delta(said: list) -> tuple:
    return min(said, key=lambda window: window.no_answer)


def by_score(said: list) -> tuple:
    """The rule that compares scores of different windows."""
    best = max(said, key=lambda window: window.score)
    lowest = min(window.no_answer + window.score for window in said)
    return best._replace(no_answer=lowest - best.score)


def each_f1(*arguments, **options) -> list[float]:
    return [round(value, 4) for value in f1_crossed(*arguments, **options)]


def joined(passages: int) -> dict:
    """F1 by both rules, and by ours with the threshold of texts of one passage."""
    examples = few(lengthened(validation, passages))
    each = predict_windows(reader, tokenizer, examples)
    ours = [by_delta(said) for said in each]
    short = predict(reader, tokenizer, few(validation))
    return {
        "windows": sum(map(len, each)) / len(each),
        "delta": each_f1(ours, examples),
        "score": each_f1([by_score(said) for said in each], examples),
        "short threshold": each_f1(ours, examples, chosen_on=short),
    }


def swept(options: dict) -> dict:
    examples = few(lengthened(validation))
    each = predict_windows(reader, tokenizer, examples, **options)
    said = [by_delta(of_one) for of_one in each]
    return {"windows": sum(map(len, each)), "f1": each_f1(said, examples)}


for passages in range(1, 6):
    long_run.measure(f"joined, {passages}", lambda n=passages: joined(n))
for setting, options in SWEEP.items():
    long_run.measure(setting, lambda options=options: swept(options))
long_run.finish(seeds=[0], steps=0, tolerance=0.2)
