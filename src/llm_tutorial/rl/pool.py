"""Answers that a policy wrote once and for all, kept on disk step by step."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from llm_tutorial.rl.sampling import Completion, merged, sample


def drawn(
    model: nn.Module,
    tokenizer: Any,
    batches: Sequence[Sequence[str]],
    file: Path,
    answers: int = 8,
    max_new_tokens: int = 24,
    seed: int = 0,
) -> list[list[Completion]]:
    """Groups of answers to batches of prompts, with a progress bar; what the file has already is not drawn again.

    Args:
        model: The policy, which does not change meanwhile.
        tokenizer: Its tokenizer.
        batches: Prompts that are answered together.
        file: Keeps a line for each batch; one that was cut off in its last line loses that line.
        answers: Answers to each prompt.
        max_new_tokens: Most tokens of an answer.
        seed: Seed of the answers.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    with merged(model), file.open("a", encoding="utf-8") as kept:
        for number in tqdm(range(len(lines), len(batches)), initial=len(lines), total=len(batches), desc="answers"):
            torch.manual_seed(1_000_003 * seed + number)
            groups = sample(model, tokenizer, batches[number], answers, max_new_tokens)
            lines.append(json.dumps([[asdict(each) for each in group] for group in groups]))
            kept.write(lines[-1] + "\n")
            kept.flush()
    return [[Completion(**each) for each in group] for line in lines for group in json.loads(line)]
