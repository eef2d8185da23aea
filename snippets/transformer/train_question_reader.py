"""The reader that the page loads: a LoRA update of MiniLM and a span head; one seed.

The architecture from nothing is set beside it, with as many examples. Plan, in minutes
of one core: 600 steps of 8 questions each, 9; window, overlap and length of answers on
lengthened passages, 1: about 10.
"""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertConfig, BertForQuestionAnswering
from transformers.utils import logging

from llm_tutorial.models import load_tokenizer, model_folder
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.question_answering import (
    batches,
    best_threshold,
    by_kind,
    loss_of,
    own_tokenizer,
    predict,
    scores,
    windows,
)
from llm_tutorial.transformer.question_data import (
    lengthened,
    question_examples,
    written_examples,
)

STEPS, BATCH, SEED = 600, 8, 0
RATES = {"LoRA": 2e-3, "from scratch": 5e-4}  # the latter as in the comparison
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
validation = question_examples("validation", 130)
test = question_examples("test", 260)
written = written_examples()
longer = lengthened(validation[:52])
long_run.data = {
    "train": data_digest(train_set),
    "validation": data_digest(validation),
    "test": data_digest(test),
    "written": data_digest(written),
}
texts = [text for each in train_set for text in (each.question, each.context)]
tokenizers = {"LoRA": load_tokenizer("minilm"), "from scratch": own_tokenizer(texts)}


def measure(variant: str) -> dict:
    torch.manual_seed(SEED)
    tokenizer, folder = tokenizers[variant], model_folder("minilm")
    if variant == "LoRA":
        config = LoraConfig(
            "QUESTION_ANS",  # the head is trained and saved whole
            r=8,
            lora_alpha=16,
            target_modules=["query", "key", "value", "dense"],
        )
        base = BertForQuestionAnswering.from_pretrained(folder)
        model = get_peft_model(base, config)
    else:
        size = len(tokenizer)
        model = BertForQuestionAnswering(
            BertConfig.from_pretrained(folder, vocab_size=size)
        )
    run, optimizer = f"{variant}, seed {SEED}", adamw(model, RATES[variant])
    losses = fit(
        model, batches(windows(tokenizer, train_set), BATCH, SEED), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=10), long_run.state_of(run), SEED,
        description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    if variant == "LoRA":
        model.peft_config["default"].base_model_name_or_path = "minilm"
        model.save_pretrained(long_run.folder)
        (long_run.folder / "README.md").unlink(missing_ok=True)
    sets = {"validation": few(validation), "test": few(test), "written": few(written)}
    said = {
        name: predict(model, tokenizer, examples) for name, examples in sets.items()
    }
    threshold = best_threshold(said["validation"], sets["validation"])
    return {
        "losses": losses,
        "rate": RATES[variant],
        "threshold": threshold,
        "sets": {name: scores(said[name], sets[name], threshold) for name in sets},
        "kinds": by_kind(said["test"], sets["test"], threshold),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def swept(options: dict) -> dict:
    base = BertForQuestionAnswering.from_pretrained(model_folder("minilm"))
    model = PeftModel.from_pretrained(base, long_run.folder)
    examples = few(longer)
    said = predict(model, tokenizers["LoRA"], examples, **options)
    threshold = best_threshold(said, examples)
    size = {name: options[name] for name in ("max_length", "stride") if name in options}
    count = len(windows(tokenizers["LoRA"], examples, **size))
    return {"threshold": threshold, "windows": count} | scores(
        said, examples, threshold
    )


for variant in RATES:
    long_run.measure(f"{variant}, seed {SEED}", lambda v=variant: measure(v))
for name, options in SWEEP.items():
    long_run.measure(name, lambda options=options: swept(options))
long_run.finish(seeds=[SEED], steps=STEPS, batch=BATCH, tolerance=0.2)
