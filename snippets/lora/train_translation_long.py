"""The sparse translator of ``train_translation.py``, trained nine times as long.

About a quarter of an hour of one core.
"""

from pathlib import Path

import torch

from llm_tutorial.data.messages import messages
from llm_tutorial.lora.translation import (
    Reader,
    save_translator,
    score,
    train_translator,
)
from llm_tutorial.results import results
from llm_tutorial.runs import LongRun, data_digest

STEPS = 1500

torch.set_num_threads(1)
long_run = LongRun("translation_long", Path(__file__))
split = {name: messages(name) for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
reader = Reader(split["train"])


def measure(run: str) -> dict:
    rate = results("lora", "translation")["metrics"]["sparse, seed 0"]["rate"]
    model, losses, _ = train_translator(
        reader, STEPS, rate, state=long_run.state_of(run), description=run
    )
    save_translator(model, reader.tokenizer, long_run.folder)
    texts = model.translate(
        long_run.few(reader.held_out(split["test"])), reader.tokenizer
    )
    in_order = {
        m: text for m, text in texts.items() if not m.catalogue.startswith("jupyterlab")
    }
    sample = {m: texts[m] for m in split["test"][::8] if m in texts}
    return {
        "losses": losses, "rate": rate, **score(texts), "source order": score(in_order),
        "sampled": score(sample), "sample": list(sample.values()),
    }  # fmt: skip


long_run.measure("long", lambda: measure("long"))
long_run.finish(seeds=[0], steps=STEPS)
