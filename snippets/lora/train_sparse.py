"""What each part of relation-aware sparse attention is worth, one left out at a time.

Names in the People's Daily. Ten models with the same layers, steps and data, three
seeds each. The gate is a second task wherever it is trained, so one model has the
gate's loss and no entity: what the loss gives is told from what the entities give. Rate
1e-3 is the better of two for dense, window and learned entities alike in
train_entities.py, the same encoder. Plan: 200 steps of 1,536 characters take about a
minute of one core, 30 runs and their tests 35 minutes.
"""

from pathlib import Path

import torch

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.experiments import with_seeds
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.relations import RELATIONS
from llm_tutorial.lora.tagging import loss_of, read, relation_settings, tag
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.tagging import count_characters, crops, score, spans
from llm_tutorial.tokenizers import character_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, SEEDS, LENGTH, RATE = 200, range(3), 1536, 1e-3
# beside the encoder's own 4 heads of 64, block of 64, window of one block, 32 entities
SIZES = {
    "num_hidden_layers": 2, "intermediate_size": 512, "bigram_buckets": 2**15,
    "rope_theta": 100.0, "dropout": 0.0,
}  # fmt: skip
VARIANTS = {
    "all": {},
    "window": {"entities": "none"},
    "window, gate loss": {"entities": "random", "num_entities": 0, "relations": ()},
    "no relations": {"relations": ()},
}
MORE = {"random": {"entities": "random"}, "task loss alone": {"gate_loss_weight": 0.0}}
WITHOUT = {
    f"without {kind}": {"relations": tuple(k for k in RELATIONS if k != kind)}
    for kind in RELATIONS
}
AT_TEST = {  # the model "all", tested in another way than it was trained
    "random at test": {"entities": "random"},
    "no relations at test": {"relations": []},
    "no entities at test": {"num_entities": 0},
}

torch.set_num_threads(1)
long_run = LongRun("sparse", Path(__file__))
documents = {split: people_daily(split) for split in ("train", "test")}
tokenizer = character_tokenizer(document.text for document in documents["train"])
examples = {split: tag(documents[split], tokenizer) for split in documents}
long_run.data = {split: data_digest(documents[split]) for split in documents}
settings = relation_settings(tokenizer) | SIZES
train_names = {
    d.text[start:end] for d in documents["train"] for start, end, _ in d.entities
}


def train(
    run: str, seed: int, **options: object
) -> tuple[RelationSparseForTokenClassification, list[float]]:
    torch.manual_seed(seed)
    model = RelationSparseForTokenClassification(
        RelationSparseConfig(**settings | options)
    )
    optimizer = adamw(model, RATE, ("embedding", "pair", "relation"))
    losses = fit(
        model, crops(examples["train"], 1, LENGTH, seed), optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=20), long_run.state_of(run), seed,
        save_every=100, description=run, loss_of=loss_of, count=count_characters,
    )  # fmt: skip
    return model, losses


def score_of(
    model: RelationSparseForTokenClassification, gold: bool = False
) -> dict[str, float]:
    """F1; the share of chosen places where names begin; that of repeated new names.

    New are names that training has not seen, repeated those that come twice or more in
    their document; the share is of those that are found.
    """
    torch.manual_seed(0)  # of random entities
    tagged, texts = long_run.few(examples["test"]), long_run.few(documents["test"])
    readings = read(model, tagged, gold)
    found = [spans(reading.labels) for reading in readings]
    chosen = [
        example.types[reading.chosen] > 0
        for example, reading in zip(tagged, readings, strict=True)
    ]
    repeated = []
    for document, entities in zip(texts, found, strict=True):
        names = [document.text[start:end] for start, end, _ in document.entities]
        rare = [name not in train_names and names.count(name) > 1 for name in names]
        repeated += [
            entity in entities
            for entity, kept in zip(document.entities, rare, strict=True)
            if kept
        ]
    return {
        **score(found, [document.entities for document in texts]),
        "gate": torch.cat(chosen).float().mean().nan_to_num().item(),
        "repeated": sum(repeated) / max(len(repeated), 1),
        "repeated_names": len(repeated),
    }


def measure(run: str, variant: str, seed: int) -> dict:
    model, losses = train(run, seed, **(VARIANTS | MORE | WITHOUT)[variant])
    metrics = {"losses": losses, **score_of(model)}
    if variant == "all":
        metrics["gold at test"] = score_of(model, gold=True)
        for name, options in AT_TEST.items():
            before = {key: getattr(model.config, key) for key in options}
            model.config.update(options)
            metrics[name] = score_of(model)
            model.config.update(before)
    return metrics


for variants in (VARIANTS, MORE, WITHOUT):  # the most telling first
    with_seeds(long_run, list(variants), SEEDS, measure)
long_run.finish(seeds=list(SEEDS), steps=STEPS, length=LENGTH, tolerance=0.05)
