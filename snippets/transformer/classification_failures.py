# %% setup
import os
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.utils import logging

from llm_tutorial.data.reviews import reviews
from llm_tutorial.results import weights
from llm_tutorial.transformer.classification import encode, logits_of, pad, small_config

logging.set_verbosity_error()
logging.disable_progress_bar()
folder = weights("transformer", "classification")
tokenizer = AutoTokenizer.from_pretrained(folder)
load = AutoModelForSequenceClassification.from_pretrained
model = load(folder, dtype=torch.float32)
held_out = reviews("test")[:300]
texts, labels = [r.text for r in held_out], [r.label for r in held_out]
rows = encode(tokenizer, texts, labels)

# %% mixed_up
numbering = "print(list({'negative', 'positive'}))"  # a set has no order
orders = {
    seed: subprocess.run(
        [sys.executable, "-c", numbering],
        capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
    ).stdout.strip()
    for seed in ("0", "1", "2", "3")
}  # fmt: skip
print(*orders.values(), sep="\n")
assert len(set(orders.values())) == 2  # depends on the process

names = {0: "positive", 1: "negative"}  # where "positive" came first in the set
swapped = load(folder, dtype=torch.float32, id2label=names)


def share_right(model):
    named = logits_of(model, rows).argmax(-1).tolist()
    wanted = ["negative", "positive"]
    return sum(
        model.config.id2label[n] == wanted[label]
        for n, label in zip(named, labels, strict=True)
    ) / len(labels)


print(f"right names {share_right(model):.3f}, mixed up {share_right(swapped):.3f}")
assert abs(share_right(model) + share_right(swapped) - 1) < 1e-9


# %% mixed_up_cure
def load_checked(folder, examples, **options):
    """Refuses a model that names most of a few plain examples wrongly."""
    classify = pipeline(
        "text-classification", model=load(folder, **options), tokenizer=tokenizer
    )
    named = [each["label"] for each in classify(list(examples), truncation=True)]
    wrong = [
        (text, name)
        for text, name in zip(examples, named, strict=True)
        if name != examples[text]
    ]
    if 2 * len(wrong) > len(examples):
        raise ValueError(f"are the names mixed up? {wrong[0]}")
    return classify.model


plain = {"很好，非常满意": "positive", "太差了，后悔": "negative", "很喜欢": "positive"}
load_checked(folder, plain, dtype=torch.float32)
try:
    load_checked(folder, plain, dtype=torch.float32, id2label=names)
except ValueError as error:
    print(error)

# %% accumulated
few = [{"input_ids": row.input_ids[:24], "labels": row.label} for row in rows[:8]]


def collate(batch):
    inputs = pad([each["input_ids"] for each in batch])
    return {**inputs, "labels": torch.tensor([each["labels"] for each in batch])}


def first_step(size, accumulate, cured=False):
    """Loss and norm of the gradient that Trainer logs for its first step."""
    torch.manual_seed(0)
    config = small_config(
        len(tokenizer), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model = BertForSequenceClassification(config)
    if cured:
        model.accepts_loss_kwargs = False  # its head knows nothing of the whole batch
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=size, max_steps=1, use_cpu=True,
            gradient_accumulation_steps=accumulate, logging_steps=1, report_to=[],
            save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        trainer = Trainer(model, arguments, collate, few)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.state.log_history[0]


whole = first_step(8, 1)
print(f"1 × 8 texts: loss {whole['loss']:.3f}")
for size, accumulate in ((4, 2), (2, 4), (1, 8)):
    found = first_step(size, accumulate)
    times = found["grad_norm"] / whole["grad_norm"]
    print(
        f"{accumulate} × {size} texts: gradient × {times:.3f}, loss {found['loss']:.3f}"
    )
    assert abs(times - accumulate) < 1e-2 * accumulate

# %% accumulated_cure
found = first_step(2, 4, cured=True)
times = found["grad_norm"] / whole["grad_norm"]
print(f"4 × 2 texts, cured: gradient × {times:.3f}, loss {found['loss']:.3f}")
assert abs(times - 1) < 1e-2 and abs(found["loss"] - whole["loss"]) < 1e-3

# %% unmasked
padded = pad([row.input_ids for row in rows])
with torch.inference_mode():
    masked = model(**padded).logits.softmax(-1)
    unmasked = model(padded["input_ids"]).logits.softmax(-1)  # padding is read as text
alone = logits_of(model, rows, size=1).softmax(-1)
assert torch.allclose(masked, alone, atol=1e-4)
truth = torch.tensor(labels)
for name, p in (
    ("alone", alone),
    ("batch, mask", masked),
    ("batch, no mask", unmasked),
):
    print(f"{name:15} accuracy {(p.argmax(-1) == truth).double().mean():.3f}")
hits = [int((p.argmax(-1) == truth).sum()) for p in (unmasked, alone)]
assert hits[0] < hits[1]

# %% training_mode
model.train()  # as a training loop leaves it
with torch.no_grad():
    twice = [model(**padded).logits.softmax(-1)[:, 1] for _ in range(2)]
    model.eval()
    again = [model(**padded).logits.softmax(-1)[:, 1] for _ in range(2)]
for name, (first, second) in (("train()", twice), ("eval()", again)):
    apart = (first - second).abs()
    print(f"{name:8} {apart.mean():.3f} apart on average, {apart.max():.3f} at most")
assert torch.equal(*again)

# %% failures_values values
print(f"right = {100 * share_right(model):.1f}")
print(f"mixed = {100 * share_right(swapped):.1f}")
print(f"masked = {100 * (masked.argmax(-1) == truth).double().mean():.1f}")
print(f"unmasked = {100 * (unmasked.argmax(-1) == truth).double().mean():.1f}")
print(f"texts = {len(labels)}")
print(f"version = {float('.'.join(transformers.__version__.split('.')[:2])):.2f}")
