"""Names in the People's Daily: five kinds of attention and a BiLSTM, three seeds each.

Equal steps, equal parameters. Plan, in minutes of one core: the learning rate of each
kind, the better of two on validation, 6; then seed by seed dense (3), dense with
relations (7), sparse with learned entities (2), with random ones (2), window only (2)
and the BiLSTM (2), 18 a seed; last a sweep of window and number of entities, one seed,
8: about 68 minutes on one thread.
"""

import statistics
from pathlib import Path

import torch

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.tagging import (
    LSTMTagger,
    evaluate,
    loss_of,
    relation_settings,
    tag,
)
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.tagging import count_characters, crops
from llm_tutorial.timing import Paced, curve
from llm_tutorial.tokenizers import character_tokenizer
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, TUNING_STEPS, SEEDS, LENGTH = 300, 100, range(3), 2048
RATES = (1e-3, 2e-3)
RARE = ("embedding", "bigram.pair")  # their rows are seen seldom
# beside the encoder's own 4 heads of 64, block of 64, window of one block, 32 entities
SIZES = {
    "num_hidden_layers": 2, "intermediate_size": 512, "bigram_buckets": 2**15,
    "rope_theta": 100.0, "dropout": 0.0,
}  # fmt: skip
VARIANTS = {
    "dense": {"attention": "dense", "entities": "none"},
    "dense, relations": {"attention": "dense"},
    "learned": {},
    "random": {"entities": "random"},
    "window": {"entities": "none"},
    "BiLSTM": {},
}
# the others are tuned themselves
TUNED_AS = {"dense, relations": "dense", "random": "learned"}
SWEEP = {
    "window 0": {"window": 0},
    "window 2": {"window": 2},
    "8 entities": {"num_entities": 8},
    "128 entities": {"num_entities": 128},
}  # one block and 32 entities are the run of seed 0

torch.set_num_threads(1)
long_run = LongRun("entities", Path(__file__))
few = long_run.few
documents = {split: people_daily(split) for split in ("train", "validation", "test")}
tokenizer = character_tokenizer(document.text for document in documents["train"])
examples = {split: tag(documents[split], tokenizer) for split in documents}
long_run.data = {split: data_digest(documents[split]) for split in documents}
settings = relation_settings(tokenizer) | SIZES


def train(
    run: str, variant: str, rate: float, seed: int, steps: int, **options: object
) -> tuple:
    """The trained model, its losses, and the seconds of one core that a step takes."""
    torch.manual_seed(seed)
    config = RelationSparseConfig(**settings | VARIANTS[variant] | options)
    model = (
        LSTMTagger(config)
        if variant == "BiLSTM"
        else RelationSparseForTokenClassification(config)
    )
    # the LSTM reads as many characters in shorter crops, which takes less time
    batch_size, length = (8, LENGTH // 8) if variant == "BiLSTM" else (1, LENGTH)
    batch_at = Paced(crops(examples["train"], batch_size, length, seed))
    optimizer = adamw(model, rate, RARE)
    losses = fit(
        model, batch_at, optimizer, steps, linear_decay(optimizer, steps, warmup=20),
        long_run.state_of(run), seed, save_every=100, description=run, loss_of=loss_of,
        count=count_characters,
    )  # fmt: skip
    return model, losses, batch_at.pace


def validate(run: str, variant: str, rate: float) -> dict:
    model, losses, _ = train(run, variant, rate, len(SEEDS), TUNING_STEPS)
    found = evaluate(
        model, few(examples["validation"][:20]), few(documents["validation"][:20])
    )
    return {
        "losses": losses,
        "rate": rate,
        "validation_f1": found["f1"],
        "loss": statistics.mean(losses[-20:]),
    }


def measure(run: str, variant: str, rate: float, seed: int, **options: object) -> dict:
    model, losses, pace = train(run, variant, rate, seed, STEPS, **options)
    metrics = {
        "validation": evaluate(
            model, few(examples["validation"][:30]), few(documents["validation"][:30])
        )
    }
    if not options:  # the sweep chooses, so it is not told of the test set
        metrics["test"] = evaluate(model, few(examples["test"]), few(documents["test"]))
    if variant == "learned" and not options:
        metrics["gold entities"] = evaluate(
            model, few(examples["test"]), few(documents["test"]), gold_entities=True
        )
    return {
        "losses": losses, "rate": rate,
        "f1": metrics.get("test", metrics["validation"])["f1"], **metrics,
        "curve": curve(losses, pace),
        "parameters": sum(p.numel() for p in model.parameters()),
        "share": share(model, variant),
    }  # fmt: skip


def share(model: torch.nn.Module, variant: str) -> float | None:
    """Pairs kept of a crop, over all pairs; an LSTM has none."""
    if variant == "BiLSTM":
        return None
    config = model.config
    number = 0 if config.entities == "none" else config.num_entities
    places = torch.arange(number)[None] * (LENGTH // max(number, 1))
    matrix = InteractionMatrix(LENGTH, config.block_size, config.window, places)
    return 1.0 if config.attention == "dense" else matrix.share


rates = {
    variant: tune(
        long_run,
        variant,
        RATES,
        lambda run, rate, v=variant: validate(run, v, rate),
        by="validation_f1",
    )
    for variant in VARIANTS
    if variant not in TUNED_AS
}
rates |= {variant: rates[other] for variant, other in TUNED_AS.items()}
with_seeds(
    long_run,
    list(VARIANTS),
    SEEDS,
    lambda run, v, seed: measure(run, v, rates[v], seed),
)
for name, options in SWEEP.items():
    run = f"{name}, seed 0"
    long_run.measure(
        run,
        lambda run=run, o=options: measure(run, "learned", rates["learned"], 0, **o),
    )
# the curves hold times of this machine
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
