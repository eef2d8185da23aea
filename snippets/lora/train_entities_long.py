"""One tagger trained for long: the sparse encoder with learned entities, five epochs.

Trained on the People's Daily. Plan: 3,500 steps of one crop of 2,048 characters, one
seed, about 35 minutes on one thread. Rate and betas are those that
``train_entities.py`` found; dropout is new, for a text is now seen more than once.
There are fewer pairs of characters than there, so that the weights fit 8 MB in float16;
what is measured are the rounded weights.
"""

from pathlib import Path

import torch

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.tagging import evaluate, loss_of, relation_settings, tag
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.tagging import count_characters, crops
from llm_tutorial.timing import curve
from llm_tutorial.tokenizers import character_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, LENGTH, RATE = 3500, 2048, 1e-3
SIZES = {
    "num_hidden_layers": 2, "intermediate_size": 512, "bigram_buckets": 28_000,
    "rope_theta": 100.0, "dropout": 0.1,
}  # fmt: skip

torch.set_num_threads(1)
long_run = LongRun("entities_long", Path(__file__))
documents = {split: people_daily(split) for split in ("train", "validation", "test")}
tokenizer = character_tokenizer(document.text for document in documents["train"])
examples = {split: tag(documents[split], tokenizer) for split in documents}
long_run.data = {split: data_digest(documents[split]) for split in documents}


def measure(run: str) -> dict:
    torch.manual_seed(0)
    model = RelationSparseForTokenClassification(
        RelationSparseConfig(**relation_settings(tokenizer) | SIZES)
    )
    optimizer = adamw(model, RATE, ("embedding", "bigram.pair"))
    losses = fit(
        model, crops(examples["train"], 1, LENGTH), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=50), long_run.state_of(run),
        save_every=100, description=run, loss_of=loss_of, count=count_characters,
    )  # fmt: skip
    model.half().save_pretrained(long_run.folder)
    tokenizer.save_pretrained(long_run.folder)
    model.float()
    metrics = {
        split: evaluate(
            model, long_run.few(examples[split]), long_run.few(documents[split])
        )
        for split in ("validation", "test")
    }
    return {
        "losses": losses, "rate": RATE, "f1": metrics["test"]["f1"], **metrics,
        "curve": [[step, loss] for step, _, loss in curve(losses, every=50)],
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


long_run.measure("learned", lambda: measure("learned"))
long_run.finish(seeds=[0], steps=STEPS)
