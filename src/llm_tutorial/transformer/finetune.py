"""A small real task on which training practice is compared.

The task: which of four libraries does a sentence document? The sentences are the summaries of docstrings
(``llm_tutorial.data.documentation``), held out by module, with the names of the libraries taken out; a sentence that
two libraries share is left out.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase, Trainer, logging

from llm_tutorial.data.documentation import LIBRARIES, documented_objects
from llm_tutorial.data.splits import SPLITS, check_split, key_of
from llm_tutorial.models import model_folder

NAMES = re.compile(r"numpy|scipy|sklearn|scikit-learn|python", re.IGNORECASE)


class Summary(NamedTuple):
    """A sentence of documentation, and the library it belongs to: its place in ``LIBRARIES``."""

    text: str
    label: int


def library_summaries(split: str = "train", each: int = 100) -> list[Summary]:
    """Equally many summaries of each library, in a fixed mixed order; each sentence stands in one split, once.

    Args:
        split: ``train``, ``validation`` or ``test``; no module has objects in two of them.
        each: Summaries of each library.

    Raises:
        ValueError: An unknown split, or fewer summaries than asked for.

    Example:
        >>> found = library_summaries("test", each=2)
        >>> len(found), LIBRARIES[found[0].label]
        (8, 'numpy')
    """
    check_split(split)
    chosen = []
    for label, library in enumerate(LIBRARIES):
        texts = [summary.text for summary in _summaries()[split] if summary.label == label]
        if len(texts) < each:
            raise ValueError(
                f"{split!r} has {len(texts)} summaries of {library}, not {each}\n"
                f"{split!r} 中 {library} 的摘要只有 {len(texts)} 条，不足 {each} 条"
            )
        chosen += [Summary(text, label) for text in random.Random(0).sample(texts, each)]
    random.Random(1).shuffle(chosen)
    return chosen


@cache
def _summaries() -> dict[str, list[Summary]]:
    """All summaries of each split, without repetitions: libraries copy each other's sentences, across modules too."""
    found: dict[str, list[Summary]] = {split: [] for split in SPLITS}
    labels: dict[str, set[int]] = {}
    for split in SPLITS:
        for label, library in enumerate(LIBRARIES):
            for documented in documented_objects(split, library, words=0):
                text = NAMES.sub("…", documented.summary)
                if key_of(text) not in labels:
                    found[split].append(Summary(text, label))
                labels.setdefault(key_of(text), set()).add(label)
    return {split: [each for each in found[split] if len(labels[key_of(each.text)]) == 1] for split in SPLITS}


def encoded(
    tokenizer: PreTrainedTokenizerBase, summaries: Sequence[Summary], max_length: int = 64
) -> list[dict[str, Any]]:
    """Examples as Trainer takes them: token ids, mask and label, not yet padded.

    Args:
        tokenizer: Of the model.
        summaries: Texts with labels.
        max_length: Where a text is cut.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> encoded(load_tokenizer("minilm"), [Summary("Add two numbers.", 0)])[0]["labels"]
        0
    """
    return [{**tokenizer(text, truncation=True, max_length=max_length), "labels": label} for text, label in summaries]


def check_labels(examples: Sequence[Mapping[str, Any]], num_labels: int) -> None:
    """Refuses labels that the model has no output for: on a GPU they would stop a kernel without a word of why.

    Args:
        examples: Each with ``labels``, a number or a list; -100 is left out of the loss, and allowed.
        num_labels: Outputs of the model.

    Raises:
        ValueError: A label out of range; the message names the first, and its example.

    Example:
        >>> check_labels([{"labels": 3}, {"labels": [0, -100]}], num_labels=4)
        >>> check_labels([{"labels": 4}], num_labels=4)
        Traceback (most recent call last):
        ValueError: example 0 has the label 4; the model has the labels 0 to 3
        样本 0 的标签是 4；模型只有标签 0 到 3
    """
    for place, example in enumerate(examples):
        for label in torch.as_tensor(example["labels"]).flatten().tolist():
            if label != -100 and not 0 <= label < num_labels:
                raise ValueError(
                    f"example {place} has the label {label}; the model has the labels 0 to {num_labels - 1}\n"
                    f"样本 {place} 的标签是 {label}；模型只有标签 0 到 {num_labels - 1}"
                )


def minilm_classifier(seed: int = 0, **kwargs: Any) -> PreTrainedModel:
    """MiniLM with a new output head of four labels.

    Args:
        seed: Seed of the head.
        kwargs: Of the configuration, such as ``hidden_dropout_prob``.

    Example:
        >>> minilm_classifier().config.id2label[2]
        'scipy'
    """
    torch.manual_seed(seed)
    labels = {"num_labels": len(LIBRARIES), "id2label": dict(enumerate(LIBRARIES))}
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # that the head is new is known here
    logging.disable_progress_bar()
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            model_folder("minilm"), dtype=torch.float32, local_files_only=True, **labels, **kwargs
        )
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
    return model


def losses(trainer: Trainer) -> list[float]:
    """The training losses that a Trainer has logged: one a step where ``logging_steps`` is 1.

    Args:
        trainer: After ``train``.
    """
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
