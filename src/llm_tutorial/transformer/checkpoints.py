"""Runs that may be killed: a small Trainer to try it with, the checkpoint to go on from, a log that outlives the run."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from llm_tutorial.data.documentation import LIBRARIES
from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.finetune import encoded, library_summaries

STATE = "trainer_state.json"  # what Trainer writes last into a checkpoint


def small_classifier(seed: int = 0, **kwargs: Any) -> PreTrainedModel:
    """A BERT of two layers from scratch, for what is about the loop and not about the score; 9 MB, not 91.

    Args:
        seed: Seed of all weights.
        kwargs: Of the configuration, such as ``hidden_dropout_prob``.

    Example:
        >>> f"{small_classifier().num_parameters():,}"
        '2,057,796'
    """
    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    settings: dict[str, Any] = {"vocab_size": 30522, "num_labels": len(LIBRARIES)} | sizes | kwargs
    return BertForSequenceClassification(BertConfig(**settings))


def small_trainer(folder: str | Path, callbacks: Sequence[TrainerCallback] = (), **arguments: Any) -> Trainer:
    """A Trainer of the small model on 120 summaries, silent, with every step's loss in its log.

    Args:
        folder: Where checkpoints go.
        callbacks: Passed on.
        arguments: Of ``TrainingArguments``, over those set here.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer = small_trainer(folder, max_steps=2)
        ...     _ = trainer.train()
        >>> ["loss" in entry for entry in trainer.state.log_history]
        [True, True, False]
    """
    tokenizer, train, validation = _data()
    settings: dict[str, Any] = {"learning_rate": 3e-3, "warmup_steps": 0.1, "per_device_train_batch_size": 16}
    settings |= {"logging_steps": 1}
    silent = {"disable_tqdm": True, "use_cpu": not torch.accelerator.is_available()}
    trainer = Trainer(
        small_classifier(**arguments.pop("model", {})),
        TrainingArguments(str(folder), **silent | settings | arguments),
        train_dataset=list(train),
        eval_dataset=list(validation),
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@cache
def _data() -> tuple[PreTrainedTokenizerBase, list[dict[str, Any]], list[dict[str, Any]]]:
    """A tokenizer, and what it makes of 120 summaries to train on and 60 to evaluate with."""
    tokenizer = load_tokenizer("minilm")
    return (
        tokenizer,
        encoded(tokenizer, library_summaries(each=30)),
        encoded(tokenizer, library_summaries("validation", each=15)),
    )


def last_whole_checkpoint(folder: str | Path) -> Path | None:
    """The latest checkpoint that was written to its end: ``Trainer`` takes the latest, whole or not.

    A checkpoint's ``trainer_state.json`` is written last: one that can be read, and that names the checkpoint's own
    step, vouches for the files before it, where one process wrote them and the machine itself did not crash.

    Args:
        folder: The run's ``output_dir``.

    Returns:
        Its path, for ``resume_from_checkpoint``; ``None`` where there is none, which starts from the beginning.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for step, content in ((5, '{"global_step": 5}'), (10, '{"global_st')):
        ...         (Path(folder) / f"checkpoint-{step}").mkdir()
        ...         _ = (Path(folder) / f"checkpoint-{step}" / STATE).write_text(content)
        ...     last_whole_checkpoint(folder).name
        'checkpoint-5'
    """
    found = {}
    for path in Path(folder).glob("checkpoint-*/" + STATE):
        step = path.parent.name.removeprefix("checkpoint-")
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if step.isdecimal() and isinstance(state, dict) and state.get("global_step") == int(step):
            found[int(step)] = path.parent
    return found[max(found)] if found else None


class JsonLines(TrainerCallback):
    """Appends everything that Trainer logs to a file, one JSON object a line: tracking without an account.

    Args:
        file: Where to; its folder is made.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Makes the folder; a run that goes on from a checkpoint goes on in the file, without the steps undone."""
        if not state.is_world_process_zero:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        kept = (
            [entry for entry in read_lines(self.file) if entry["step"] <= state.global_step]
            if state.global_step
            else []
        )
        new = self.file.with_name(self.file.name + ".new")  # a run that is killed here leaves the old file whole
        new.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        new.replace(self.file)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Appends what is logged, with its step."""
        if state.is_world_process_zero:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def read_lines(file: str | Path) -> list[dict[str, Any]]:
    """What ``JsonLines`` wrote; a line that a killed run left unfinished is left out.

    Args:
        file: The file; one that is not there is empty.

    Example:
        >>> read_lines("no such file")
        []
    """
    path, entries = Path(file), list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
