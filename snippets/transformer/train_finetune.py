"""Fine-tunes MiniLM to tell four libraries apart: rates, seeds, schedules."""

# %% settings
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.models import load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    losses,
    minilm_classifier,
)

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
SEEDS = (0, 1, 2)
EPOCHS, LONG, BATCH = 3, 8, 16
PER_EPOCH = 400 // BATCH

long_run = LongRun("finetune", Path(__file__), probed_steps=3)
tokenizer = load_tokenizer("minilm")
train = encoded(tokenizer, library_summaries("train", 100))
validation = encoded(tokenizer, library_summaries("validation", 62))
test = encoded(tokenizer, library_summaries("test", 147))
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


# %% runs
by_rate = {rate: [] for rate in RATES}
for seed in SEEDS:
    for rate in RATES:
        run = f"rate {rate:g}, seed {seed}"
        found = long_run.measure(run, lambda seed=seed, rate=rate: fit(seed, rate))
        by_rate[rate].append(found["validation"])
best = max(RATES, key=lambda rate: statistics.mean(by_rate[rate]))

higher = RATES[RATES.index(best) + 1]

for seed in SEEDS:
    for name, schedule, warmup in (
        ("no warm-up", "linear", 0.0),
        ("cosine", "cosine", 0.1),
        ("constant", "constant_with_warmup", 0.1),
    ):
        long_run.measure(
            f"{name}, rate {higher:g}, seed {seed}",
            lambda seed=seed, schedule=schedule, warmup=warmup: fit(
                seed, higher, schedule, warmup
            ),
        )
long_run.measure("eight epochs, seed 0", lambda: fit(0, best, epochs=LONG))
long_run.finish(
    seeds=SEEDS,
    steps=EPOCHS * PER_EPOCH,
    rates=RATES,
    best_rate=best,
    higher_rate=higher,
    tolerance=0.1,
)
