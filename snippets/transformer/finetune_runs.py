# %% setup
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, logging
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.plotting import COLOURS, label_lines, panels, use_style
from llm_tutorial.tables import table
from llm_tutorial.transformer.checkpoints import (
    JsonLines,
    last_whole_checkpoint,
    read_lines,
    small_trainer,
)
from llm_tutorial.transformer.finetune import check_labels, losses

use_style()
logging.disable_progress_bar()
logging.set_verbosity_error()


# %% tracking
def error(prediction):  # share of wrong answers
    logits, labels = prediction
    return {"error": np.mean(logits.argmax(-1) != labels)}


class ToFile(TrainerCallback):  # a JSON object a line
    def __init__(self, file):
        self.file = file

    def on_log(self, args, state, control, logs=None, **kwargs):
        with self.file.open("a") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def tracked(log, **arguments):
    trainer = small_trainer(
        tempfile.mkdtemp(),
        [ToFile(log), EarlyStoppingCallback(early_stopping_patience=2)],
        num_train_epochs=8,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="error",
        **arguments,
    )
    trainer.compute_metrics = error
    trainer.train()
    return trainer


log = Path(tempfile.mkdtemp()) / "log.jsonl"
stopped = tracked(log, greater_is_better=False)
best = Path(stopped.state.best_model_checkpoint).name
print(f"stopped at step {stopped.state.global_step}, went back to {best}")
for entry in read_lines(log)[:2]:
    print({name: f"{value:.3g}" for name, value in entry.items()})

# %% drawn
entries = read_lines(log)
figure, (left, middle, right) = panels(3)
for panel, kind, name, colour in (
    (left, "loss", "training", 0),
    (left, "eval_loss", "validation", 1),
    (middle, "eval_error", "", 1),
    (right, "learning_rate", "", 0),
):
    points = [(entry["step"], entry[kind]) for entry in entries if kind in entry]
    marker = "s" if colour else ""
    style = {"color": COLOURS[colour], "marker": marker, "label": name}
    panel.plot(*zip(*points, strict=True), **style)
middle.axvline(int(best.split("-")[1]), color=COLOURS[2], ls="--", marker="")
left.set(xlabel="step", ylabel="loss")
middle.set(xlabel="step", ylabel="error rate")
right.set(xlabel="step", ylabel="learning rate")
label_lines(left)

# %% killed differs="how far the job comes depends on the machine"
JOB = """
import sys
from llm_tutorial.transformer.checkpoints import JsonLines, small_trainer

log = JsonLines(sys.argv[1] + "/log.jsonl")
small_trainer(sys.argv[1], [log], max_steps=40, save_steps=10).train()
"""
job_folder = Path(tempfile.mkdtemp())
log = job_folder / "log.jsonl"
command = [sys.executable, "-c", JOB, job_folder]
job = subprocess.Popen(command, stderr=subprocess.DEVNULL)
while job.poll() is None and len(read_lines(log)) < 25:
    time.sleep(0.01)
job.kill()  # on Linux and macOS: kill -9
assert job.wait() != 0  # it did not come to its end
last = last_whole_checkpoint(job_folder)
assert last is not None
print(f"killed after step {read_lines(log)[-1]['step']}, to go on from {last.name}")

# %% resumed
uninterrupted = small_trainer(tempfile.mkdtemp(), max_steps=40, save_strategy="no")
uninterrupted.train()

again = small_trainer(job_folder, [JsonLines(log)], max_steps=40, save_steps=10)
again.train(resume_from_checkpoint=last)
gap = np.abs(np.subtract(losses(again), losses(uninterrupted))).max()
assert gap < 1e-6
assert [entry["loss"] for entry in read_lines(log) if "loss" in entry] == losses(again)
print(f"{len(losses(again))} steps, largest difference {gap:.0e}")

# %% what_is_saved
checkpoint = job_folder / "checkpoint-20"
for file in sorted(checkpoint.iterdir()):
    print(f"{file.name:24}{file.stat().st_size / 1e6:6.1f} MB")


# %% left_out
def resumed(left_out="", **arguments):
    damaged = Path(tempfile.mkdtemp()) / checkpoint.name
    shutil.copytree(checkpoint, damaged)
    if left_out:
        (damaged / left_out).unlink()
    trainer = small_trainer(
        damaged.parent, max_steps=40, save_strategy="no", **arguments
    )
    trainer.train(resume_from_checkpoint=damaged)
    return np.abs(np.subtract(losses(trainer), losses(uninterrupted))[20:]).max()


gaps = {
    "nothing": resumed(),
    "optimizer.pt": resumed("optimizer.pt"),
    "scheduler.pt": resumed("scheduler.pt"),
    "rng_state.pth": resumed("rng_state.pth"),
    "position in the data": resumed(ignore_data_skip=True),
}
rows = {name: [gap] for name, gap in gaps.items()}
table(rows, ["left out", "loss off by"], ".0e").show()
assert gaps.pop("nothing") < 1e-6 < 1e-3 < min(gaps.values())

# %% half_written
shutil.copytree(checkpoint, job_folder / "checkpoint-99")
(job_folder / "checkpoint-99/trainer_state.json").unlink()  # killed while saving
try:
    again.train(resume_from_checkpoint=True)  # takes the latest
except FileNotFoundError as problem:
    print("without: FileNotFoundError,", Path(problem.filename).relative_to(job_folder))

print("with:", last_whole_checkpoint(job_folder).name)

# %% wrong_direction
wrong = tracked(job_folder / "wrong.jsonl")  # no greater_is_better
errors = [each.evaluate()["eval_error"] for each in (wrong, stopped)]
print(
    f"without: greater_is_better={wrong.args.greater_is_better}, error {errors[0]:.2f}"
)
print(f"with: greater_is_better=False, error {errors[1]:.2f}")
assert wrong.args.greater_is_better and errors[1] < errors[0]

# %% hidden_nan
far_too_high = {"learning_rate": 1e20, "max_steps": 4, "save_strategy": "no"}
for hidden in (True, False):  # True is the default
    run = small_trainer(job_folder, logging_nan_inf_filter=hidden, **far_too_high)
    run.train()
    print(f"logging_nan_inf_filter={hidden}:", [round(x, 3) for x in losses(run)])

run = small_trainer(job_folder, max_steps=4, save_strategy="no")
run.train()
print("with a rate of 0.003:", [round(x, 3) for x in losses(run)])
assert np.isfinite(losses(run)).all()

# %% labels
run = small_trainer(job_folder, max_steps=1, save_strategy="no")
one_based = [{**each, "labels": each["labels"] + 1} for each in run.train_dataset]
run.train_dataset = one_based  # libraries numbered from 1
try:
    run.train()
except IndexError as problem:
    print("without:", problem)

try:
    check_labels(one_based, num_labels=4)
except ValueError as problem:
    print("with:", problem.args[0].splitlines()[0])


# %% columns
class Weighted(Trainer):
    def compute_loss(
        self, model, inputs, return_outputs=False, num_items_in_batch=None
    ):
        weights = inputs.pop("weight", None)
        print("weights:", None if weights is None else weights.tolist()[:4])
        outputs = model(**inputs)
        each = F.cross_entropy(outputs.logits, inputs["labels"], reduction="none")
        weights = torch.ones_like(each) if weights is None else weights
        loss = (weights * each).sum() / (num_items_in_batch or len(each))
        return (loss, outputs) if return_outputs else loss


for removed in (True, False):  # True is the default
    run = small_trainer(
        job_folder, max_steps=1, save_strategy="no", remove_unused_columns=removed
    )
    data = [{**each, "weight": 2.0} for each in run.train_dataset]
    weighted = Weighted(run.model, run.args, run.data_collator, data)
    weighted.remove_callback(PrinterCallback)
    weighted.train()
    print(f"loss: {losses(weighted)[0]:.3f}")
