"""The reader that the page loads: a LoRA update of MiniLM and a span head; one seed.

Plan, in minutes of one core: 600 steps of 8 questions and their evaluation, 6.
"""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.question_answering import (
    batches,
    judge,
    loss_of,
    predict,
    windows,
)
from llm_tutorial.transformer.question_data import (
    lengthened,
    question_examples,
    written_examples,
)

STEPS, BATCH, SEED, RATE = 600, 8, 0, 2e-3

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


def measure(run: str) -> dict:
    torch.manual_seed(SEED)
    config = LoraConfig(
        "QUESTION_ANS",  # the head is trained and saved whole
        r=8,
        lora_alpha=16,
        target_modules=["query", "key", "value", "dense"],
    )
    base = BertForQuestionAnswering.from_pretrained(model_folder("minilm"))
    model = get_peft_model(base, config)
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


name = f"LoRA, seed {SEED}"
long_run.measure(name, lambda: measure(name))
long_run.finish(seeds=[SEED], steps=STEPS, batch=BATCH, tolerance=0.2)
