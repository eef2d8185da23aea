"""The reader that the page loads: a LoRA update of MiniLM and a span head; one seed.

Plan, in minutes of one core: 600 steps of 8 questions and their evaluation, 6; how
windows are joined, 2; window, overlap and length of answers, 3: about 11.
"""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.question_answering import (
    batches,
    f1_crossed,
    judge,
    loss_of,
    predict,
    predict_windows,
    windows,
)
from llm_tutorial.transformer.question_data import (
    lengthened,
    question_examples,
    written_examples,
)

STEPS, BATCH, SEED, RATE = 600, 8, 0, 2e-3
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
long_run = LongRun("question_reader", Path(__file__))
few = long_run.few
train_set = question_examples("train", STEPS * BATCH)
validation = question_examples("validation", 260)
test = question_examples("test", 260)
written = written_examples()
long_run.data = {
    "train": data_digest(train_set),
    "validation": data_digest(validation),
    "test": data_digest(test),
    "written": data_digest(written),
}
tokenizer = load_tokenizer("minilm")
found = windows(tokenizer, train_set)


def base() -> BertForQuestionAnswering:
    return BertForQuestionAnswering.from_pretrained(model_folder("minilm"))


def measure(run: str) -> dict:
    torch.manual_seed(SEED)
    config = LoraConfig(
        "QUESTION_ANS",  # the head is trained and saved whole
        r=8,
        lora_alpha=16,
        target_modules=["query", "key", "value", "dense"],
    )
    model = get_peft_model(base(), config)
    optimizer = adamw(model, RATE)
    losses = fit(
        model, batches(found, BATCH, SEED), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=10), long_run.state_of(run), SEED,
        description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    model.peft_config["default"].base_model_name_or_path = "minilm"
    model.save_pretrained(long_run.folder)
    (long_run.folder / "README.md").unlink(missing_ok=True)
    sets = {"validation": validation, "longer": lengthened(validation[:130])}
    sets |= {"test": test, "written": written}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"losses": losses, "rate": RATE, "trained": trained} | judge(
        lambda examples: predict(model, tokenizer, examples),
        {name: few(part) for name, part in sets.items()},
    )


def by_score(windows_of_one: list) -> tuple:
    """The rule that compares scores of different windows."""
    best = max(windows_of_one, key=lambda window: window.score)
    lowest = min(window.no_answer + window.score for window in windows_of_one)
    return best._replace(no_answer=lowest - best.score)


def percent(values: list[float]) -> float:
    return 100 * sum(values) / max(len(values), 1)


def joined(passages: int) -> dict:
    """F1 by both rules, and by ours with the threshold of passages of one window."""
    model = PeftModel.from_pretrained(base(), long_run.folder)
    examples = few(lengthened(validation, passages))
    each = predict_windows(model, tokenizer, examples)
    ours = [min(one, key=lambda window: window.no_answer) for one in each]
    short = predict(model, tokenizer, few(validation))
    return {
        "windows": sum(map(len, each)) / len(each),
        "own": percent(f1_crossed(ours, examples)),
        "score": percent(f1_crossed([by_score(one) for one in each], examples)),
        "short threshold": percent(f1_crossed(ours, examples, chosen_on=short)),
    }


def swept(options: dict) -> dict:
    model = PeftModel.from_pretrained(base(), long_run.folder)
    examples = few(lengthened(validation))
    each = predict_windows(model, tokenizer, examples, **options)
    said = [min(one, key=lambda window: window.no_answer) for one in each]
    values = [round(value, 4) for value in f1_crossed(said, examples)]
    parts: dict[bool, list] = {True: [], False: []}
    for value, example in zip(values, examples, strict=True):
        parts[bool(example.answer)].append(value)
    return {
        "windows": sum(map(len, each)),
        "f1": percent(values),
        "answerable": percent(parts[True]),
        "refused": percent(parts[False]),
        "each": values,
    }


name = f"LoRA, seed {SEED}"
long_run.measure(name, lambda: measure(name))
for passages in range(1, 6):
    long_run.measure(f"joined, {passages}", lambda n=passages: joined(n))
for setting, options in SWEEP.items():
    long_run.measure(setting, lambda options=options: swept(options))
long_run.finish(seeds=[SEED], steps=STEPS, batch=BATCH, tolerance=0.2)
