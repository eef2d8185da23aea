"""The same messages by SmolLM2-135M: as it is, and with an adapter of rank 8.

Each with and without the memory's neighbour. Its tokenizer has few Chinese words: most
characters take two or three tokens of bytes, which makes both training and writing
slow. So it sees about a tenth of the training split, in a quarter of an hour of one
core, at the setting that ``train_low_rank.py`` found, and one in eight messages of the
test split is translated.
"""

import random
from dataclasses import replace
from pathlib import Path

import torch

from llm_tutorial.data.messages import Message, messages
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora.task import MODEL, prompt, train_adapter
from llm_tutorial.lora.translation import TranslationMemory, score
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest

STEPS = {"alone": 70, "memory": 40}  # of 16 messages, about as many tokens
RATE, LONGEST = 5e-4, 64

torch.set_num_threads(1)
long_run = LongRun("translation_lora", Path(__file__), probed_steps=3)
training, test = messages("train"), messages("test")[::8]
long_run.data = {"train": data_digest(training), "test": data_digest(test)}
tokenizer = load_tokenizer(MODEL)
memory = TranslationMemory(training)
short = [
    message
    for message in training
    if len(message.english) <= 60 and len(message.chinese) <= 30
]
chosen = random.Random(0).sample(short, 16 * max(STEPS.values()))


def shown(kind: str, batch: list[Message]) -> list[Message]:
    """The messages, each behind the pair that the memory finds, where there is one."""
    if kind == "alone":
        return batch
    pairs = zip(batch, memory.nearest(batch), memory.translate(batch), strict=True)
    return [
        replace(m, english=f"{prompt(near.english)} {chinese}\n{m.english}")
        for m, near, chinese in pairs
    ]


def measure(kind: str, model: torch.nn.Module) -> dict:
    asked = long_run.few(test)
    texts = greedy_answers(
        model,
        tokenizer,
        [prompt(message.english) for message in shown(kind, asked)],
        LONGEST,
        35,
    )
    return {**score(dict(zip(asked, texts, strict=True))), "sample": texts}


def adapted(run: str, kind: str) -> dict:
    steps = STEPS[kind]
    model, losses = train_adapter(
        tokenizer, shown(kind, chosen[: 16 * steps]), steps, RATE,
        state=long_run.state_of(run), description=run, rank=8, alpha=128,
    )  # fmt: skip
    return {"losses": losses, "steps": steps, **measure(kind, model)}


for kind in STEPS:
    run = f"LoRA, {kind}"
    long_run.measure(run, lambda run=run, kind=kind: adapted(run, kind))
    long_run.measure(
        f"untrained, {kind}", lambda kind=kind: measure(kind, load_model(MODEL))
    )
length = {
    name: [len(tokenizer(getattr(m, name)).input_ids) for m in test]
    for name in ("english", "chinese")
}
characters = sum(len(message.chinese) for message in test)
long_run.finish(
    seeds=[0],
    steps=max(STEPS.values()),
    tokens_per_character=sum(length["chinese"]) / characters,
)
