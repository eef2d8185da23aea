"""Fine-tunes MiniLM to tell four libraries apart: rates, seeds, schedules."""

# %% settings
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.models import load_encoder, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    losses,
    minilm_classifier,
)

RATES = (3e-5, 1e-4, 3e-4, 1e-3)
SEEDS = (0, 1, 2)
EPOCHS, LONG, BATCH = 3, 6, 16
PER_EPOCH = 400 // BATCH

long_run = LongRun("finetune", Path(__file__), probed_steps=3)
tokenizer = load_tokenizer("minilm")
train = encoded(tokenizer, library_summaries("train", 100))
validation = encoded(tokenizer, library_summaries("validation", 60))
test = encoded(tokenizer, library_summaries("test", 135))
long_run.data = {"train": data_digest(train), "test": data_digest(test)}


# %% run
class Probed(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == int(os.environ.get(PROBED_STEPS, -1)):
            control.should_training_stop = True


def accuracy(prediction) -> dict:
    return {"accuracy": float(np.mean(prediction[0].argmax(-1) == prediction[1]))}


def fit(
    seed: int,
    rate: float,
    schedule: str = "linear",
    warmup: float = 0.1,
    epochs: int = EPOCHS,
) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            learning_rate=rate,
            lr_scheduler_type=schedule,
            warmup_steps=warmup,
            weight_decay=0.01,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            eval_strategy="epoch",
            save_strategy="no",
            logging_steps=1,
            logging_nan_inf_filter=False,
            seed=seed,
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(
            minilm_classifier(seed),
            arguments,
            train_dataset=train,
            eval_dataset=list(long_run.few(validation)),
            processing_class=tokenizer,
            compute_metrics=accuracy,
            callbacks=[Probed()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        curve = [
            [entry["step"], round(entry["eval_loss"], 4), entry["eval_accuracy"]]
            for entry in trainer.state.log_history
            if "eval_loss" in entry
        ]
        tested = trainer.evaluate(list(long_run.few(test)), metric_key_prefix="test")
        steps = losses(trainer)
        return {
            "losses": steps + steps[-1:] * (epochs * PER_EPOCH - len(steps)),
            "curve": curve,
            "loss_by_step": [round(loss, 4) for loss in steps],
            "validation": curve[-1][2],
            "test": tested["test_accuracy"],
            "test_loss": tested["test_loss"],
        }


@torch.no_grad()
def embedded(encoder, examples) -> np.ndarray:
    rows = []
    for start in range(0, len(examples), 50):
        texts = [
            {"input_ids": each["input_ids"]} for each in examples[start : start + 50]
        ]
        batch = tokenizer.pad(texts, return_tensors="pt")
        states = encoder(**batch).last_hidden_state  # (texts, tokens, 384)
        mask = batch["attention_mask"][..., None]
        rows.append((states * mask).sum(1) / mask.sum(1))
    return torch.cat(rows).numpy()


def frozen() -> dict:
    """A logistic regression on MiniLM's own embeddings: what needs no fine-tuning."""
    encoder = load_encoder("minilm")
    sets = [
        list(each) for each in (train, long_run.few(validation), long_run.few(test))
    ]
    vectors = [embedded(encoder, each) for each in sets]
    labels = [[example["labels"] for example in each] for each in sets]
    scores = {}
    for strength in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        regression = LogisticRegression(C=strength, max_iter=3000)
        regression.fit(vectors[0], labels[0])
        scores[strength] = [
            regression.score(x, y) for x, y in zip(vectors[1:], labels[1:], strict=True)
        ]
    best = max(scores, key=lambda strength: scores[strength][0])
    return {"strength": best, "validation": scores[best][0], "test": scores[best][1]}


# %% runs
long_run.measure("frozen", frozen)
by_rate = {rate: [] for rate in RATES}
for seed in SEEDS:
    for rate in RATES:
        run = f"rate {rate:g}, seed {seed}"
        found = long_run.measure(run, lambda seed=seed, rate=rate: fit(seed, rate))
        by_rate[rate].append(found["validation"])
best = max(RATES, key=lambda rate: statistics.mean(by_rate[rate]))

schedules = {
    "no warm-up": ("linear", 0.0),
    "constant": ("constant_with_warmup", 0.1),
}
for seed in SEEDS:
    for rate in (RATES[-1], best):
        for name in schedules:
            long_run.measure(
                f"{name}, rate {rate:g}, seed {seed}",
                lambda seed=seed, rate=rate, name=name: fit(
                    seed, rate, *schedules[name]
                ),
            )
long_run.measure("six epochs, seed 0", lambda: fit(0, best, epochs=LONG))
long_run.finish(
    seeds=SEEDS,
    steps=EPOCHS * PER_EPOCH,
    rates=RATES,
    best_rate=best,
    tolerance=0.1,
)
