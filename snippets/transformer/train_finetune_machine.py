"""What padding, bfloat16 and checkpointing cost; two processes; kill -9."""

# %% settings
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn.utils import clip_grad_norm_
from torch.profiler import profile
from transformers import DataCollatorWithPadding
from transformers.trainer_pt_utils import LengthGroupedSampler

from llm_tutorial.models import load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import PROBED_STEPS
from llm_tutorial.transformer.checkpoints import last_whole_checkpoint, read_lines
from llm_tutorial.transformer.finetune import (
    encoded,
    library_summaries,
    minilm_classifier,
)

BATCH, LONGEST = 16, 64
long_run = LongRun("finetune_machine", Path(__file__))
tokenizer = load_tokenizer("minilm")
examples = encoded(tokenizer, library_summaries("train", 100))
long_run.data = {"train": data_digest(examples)}
padded = DataCollatorWithPadding(tokenizer)
fixed = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=LONGEST)


class Steps:
    """Whole training steps: forward and backward pass, clipping, AdamW."""

    def __init__(self, dtype=None, checkpointing: bool = False) -> None:
        self.model = minilm_classifier().train()
        if checkpointing:
            self.model.activation_checkpointing_enable()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4, fused=True)
        self.dtype = dtype

    def __call__(self, batches) -> list[float]:
        losses = []
        for batch in batches:
            with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
                loss = self.model(**batch).loss
            loss.backward()
            clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            losses.append(loss.item())
        return losses


def batches_in(order, collate) -> list:
    starts = range(0, len(order), BATCH)
    return [
        collate([examples[place] for place in order[start : start + BATCH]])
        for start in starts
    ]


def seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict:
    """Processor time of each, the median of several rounds in which each runs once."""
    found = {name: [] for name in runs}
    for number in range(rounds + 1):  # the first is for warming up
        for name, run in runs.items():
            begun = time.process_time()
            run()
            if number:
                found[name].append(time.process_time() - begun)
    return {name: round(statistics.median(each), 3) for name, each in found.items()}


# %% padding
def padding() -> dict:
    """Twelve batches, two of the pieces in which texts are sorted, in three ways."""
    lengths = [len(example["input_ids"]) for example in examples]
    torch.manual_seed(0)
    order = torch.randperm(len(examples)).tolist()
    grouped = list(LengthGroupedSampler(BATCH, lengths=lengths))
    timed = {
        "fixed": batches_in(order, fixed)[6:18],
        "longest": batches_in(order, padded)[6:18],
        "grouped": batches_in(grouped, padded)[6:18],
    }
    tokens = {
        name: sum(batch["input_ids"].numel() for batch in batches)
        for name, batches in timed.items()
    }
    assert tokens["grouped"] < 0.8 * tokens["longest"]  # texts were really grouped
    step = Steps()
    runs = {name: lambda name=name: step(timed[name]) for name in timed}
    return {"tokens": tokens, "processor_seconds": seconds(runs, rounds=2)}


# %% sixteen_bits
def sixteen_bits() -> dict:
    """Two epochs at a rate at which the model learns, in float32 and in bfloat16."""
    steps = int(os.environ.get(PROBED_STEPS, 50))
    batches = (2 * batches_in(range(len(examples)), padded))[:steps]
    found = {}
    for name, dtype in (("float32", None), ("bfloat16", torch.bfloat16)):
        torch.manual_seed(1)  # the same dropout
        losses = Steps(dtype)(batches)
        found[name] = [round(loss, 4) for loss in losses]
    return found


def times() -> dict:
    batches = batches_in(range(BATCH), fixed)
    steps = {
        "float32": Steps(),
        "bfloat16": Steps(torch.bfloat16),
        "checkpointing": Steps(checkpointing=True),
    }
    runs = {name: lambda name=name: steps[name](batches) for name in steps}
    return {"processor_seconds": seconds(runs, rounds=5)}


# %% activations
def activations() -> dict:
    """The most that comes and goes in a step, as PyTorch's allocator counts."""
    (batch,) = batches_in(range(BATCH), fixed)
    peaks = {}
    for name in ("plain", "checkpointing"):
        model = minilm_classifier().train()
        if name == "checkpointing":
            model.activation_checkpointing_enable()
        model(**batch).loss.backward()  # from now on the gradients are there
        with profile(profile_memory=True) as profiled:
            model(**batch).loss.backward()
        events = profiled.profiler.kineto_results.events()
        memory = [event for event in events if event.name() == "[memory]"]
        changes = sorted((event.start_ns(), event.nbytes()) for event in memory)
        held = most = 0
        for _, change in changes:
            held += change
            most = max(most, held)
        peaks[name] = round(most / 2**20)
    return {"peak_MiB": peaks}


# %% jobs
JOB = """
import sys
from pathlib import Path
from transformers import Trainer, TrainingArguments
from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.checkpoints import JsonLines
from llm_tutorial.transformer.finetune import *

folder, batch, dropout, resume = sys.argv[1:]
tokenizer = load_tokenizer("minilm")
model = minilm_classifier(
    hidden_dropout_prob=float(dropout), attention_probs_dropout_prob=float(dropout)
)
model.accepts_loss_kwargs = False  # or two processes double loss and gradient
Trainer(
    model,
    TrainingArguments(
        folder,
        per_device_train_batch_size=int(batch),
        max_steps=9,
        save_steps=3,
        logging_steps=1,
        learning_rate=1e-4,
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=encoded(tokenizer, library_summaries("train", 20)),
    processing_class=tokenizer,
    callbacks=[JsonLines(folder + "/log.jsonl")],
).train(resume_from_checkpoint=resume or None)
"""


def job(folder: str, *arguments: str, launcher: Sequence[str] = ()) -> list[str]:
    script = Path(folder) / "job.py"
    script.write_text(JOB)
    return [sys.executable, *launcher, str(script), folder, *arguments]


def logged(folder: str) -> list[float]:
    entries = read_lines(Path(folder) / "log.jsonl")
    return [entry["loss"] for entry in entries if "loss" in entry]


def largest(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


# %% killed
def killed() -> dict:
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as part:
        subprocess.run(job(whole, "16", "0.1", ""), check=True, capture_output=True)
        process = subprocess.Popen(
            job(part, "16", "0.1", ""), stdout=subprocess.DEVNULL
        )
        while process.poll() is None and len(logged(part)) < 5:
            time.sleep(0.1)
        process.kill()
        status = process.wait()
        checkpoint = last_whole_checkpoint(part)
        size = sum(file.stat().st_size for file in checkpoint.iterdir())
        subprocess.run(
            job(part, "16", "0.1", str(checkpoint)), check=True, capture_output=True
        )
        return {
            "status": status,
            "difference": largest(logged(whole), logged(part)),
            "checkpoint_MB": round(size / 1e6),
        }


# %% processes
def processes() -> dict:
    histories = []
    for count, batch in (("1", "16"), ("2", "8")):
        launcher = ["-m", "accelerate.commands.launch", "--num_processes", count]
        launcher += ["--num_machines", "1", "--main_process_port", "0"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
        if count == "2":  # with --cpu, accelerate starts one process and says nothing
            launcher.append("--multi_gpu")
        with tempfile.TemporaryDirectory() as folder:
            command = job(folder, batch, "0", "", launcher=launcher)
            cpu = os.environ | {"ACCELERATE_USE_CPU": "1"}
            done = subprocess.run(command, env=cpu, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            histories.append(logged(folder))
    return {"steps": len(histories[0]), "difference": largest(*histories)}


# %% runs
long_run.measure("padding", padding, timed=True)
long_run.measure("times", times, timed=True)
long_run.measure("activations", activations, timed=True)
long_run.measure("sixteen bits", sixteen_bits)
long_run.measure("killed", killed, timed=True)
long_run.measure("processes", processes, timed=True)
long_run.finish(steps=0, tolerance=0.1)  # measures; nothing that is trained is kept
