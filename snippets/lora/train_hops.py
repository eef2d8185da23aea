"""Which city is each person in: five kinds of attention, three seeds each.

Equal steps, parameters within 1 %. Plan, in minutes of one core: the learning rate of
each kind, the better of two on validation, 3; then fifteen runs of about two minutes,
and dense attention once more for twice as many steps, 4; last a sweep of window and
number of entities, half as many steps and one seed, 7: about 45 minutes on one thread.
With 400 steps, the first attempt, one seed of three had not learned the second hop yet.
"""

import itertools
import statistics
from pathlib import Path

import torch

from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.lora.encoder import (
    RelationSparseConfig,
    RelationSparseForTokenClassification,
)
from llm_tutorial.lora.hops import (
    CITIES,
    STOP,
    WORDS,
    answers,
    chosen,
    count_mentions,
    hop_text,
    mention_loss,
    scale_weights,
)
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.timing import Paced, curve
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, TUNING_STEPS, SWEEP_STEPS, SEEDS, BATCH_TOKENS = 800, 250, 400, range(3), 2048
RATES = (1.5e-3, 3e-3)
LENGTHS = (128, 256)  # trained on: two thirds of the steps, then the rest
READ = (256, 512, 1024, 2048, 4096)  # evaluated on
EDGES = (0, 128, 256, 512, 1024, 2048, 4096)  # of the distances told apart
SIZES = {
    "vocab_size": len(WORDS), "num_labels": len(CITIES), "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128,
    "block_size": 32, "window": 1, "num_entities": 32, "num_types": 1,
    "bigram_buckets": 2**13, "relations": ("same surface", "same sentence"),
    "sentence_ends": (STOP,), "dropout": 0.0,
}  # fmt: skip
VARIANTS = {
    "dense": {"attention": "dense", "entities": "none"},
    "dense, relations": {"attention": "dense"},
    "learned": {},
    "random": {"entities": "random"},
    "window": {"entities": "none"},
}
TUNED_AS = {"random": "learned", "window": "learned"}  # the others are tuned themselves
SWEEP = {
    "window 0": {"window": 0},
    "window 2": {"window": 2},
    "8 entities": {"num_entities": 8},
    "16 entities": {"num_entities": 16},
    "32 entities": {"num_entities": 32},
    "64 entities": {"num_entities": 64},
}  # beside a window of one block and 32 entities

torch.set_num_threads(1)
long_run = LongRun("hops", Path(__file__))
few = long_run.few
long_run.data = {
    "first texts": data_digest(
        [hop_text(LENGTHS[0], f"train/0/0/{i}") for i in range(8)]
    )
}


def train(
    run: str, variant: str, rate: float, seed: int, steps: int, **options: object
) -> tuple:
    """The trained model, its losses, and the seconds a step of longer texts takes."""
    torch.manual_seed(seed)
    model = RelationSparseForTokenClassification(
        RelationSparseConfig(**SIZES | VARIANTS[variant] | options)
    )
    scale_weights(model)

    def batch_at(step: int) -> list:
        length = LENGTHS[3 * step >= 2 * steps]
        return [
            hop_text(length, f"train/{seed}/{step}/{i}")
            for i in range(BATCH_TOKENS // length)
        ]

    paced = Paced(batch_at)
    # seen seldom, or begun at zero
    optimizer = adamw(model, rate, ("embedding", "bigram.pair", "relation_key"))
    losses = fit(
        model, paced, optimizer, steps, linear_decay(optimizer, steps, warmup=20),
        long_run.state_of(run), seed, save_every=60, description=run,
        loss_of=mention_loss, count=count_mentions,
    )  # fmt: skip
    return (
        model,
        losses,
        statistics.median(paced.seconds[2 * len(paced.seconds) // 3 :] or [0.0]),
    )


def right(found: list) -> float | None:
    return statistics.mean(known for _, known in found) if found else None


def validate(run: str, variant: str, rate: float) -> dict:
    model, losses, _ = train(run, variant, rate, len(SEEDS), TUNING_STEPS)
    found = answers(model, few([hop_text(512, f"validation/{i}") for i in range(16)]))
    return {
        "losses": losses,
        "rate": rate,
        "validation_accuracy": right(found),
        "loss": statistics.mean(losses[-20:]),
    }


def measure(
    run: str,
    variant: str,
    rate: float,
    seed: int,
    steps: int = STEPS,
    **options: object,
) -> dict:
    model, losses, pace = train(run, variant, rate, seed, steps, **options)
    # the sweep chooses, so it is not told of the test set
    split = "validation" if options else "test"
    lengths = (512, 1024) if options else READ
    texts = {
        n: few([hop_text(n, f"{split}/{i}") for i in range(32 if n <= 1024 else 16)])
        for n in lengths
    }
    found = {n: answers(model, texts[n]) for n in lengths}
    everything = list(itertools.chain(*found.values()))
    return {
        "losses": losses, "rate": rate,
        "parameters": sum(p.numel() for p in model.parameters()),
        "by_length": {
            str(n): {
                str(hops): right([f for f in found[n] if f[0].hops == hops])
                for hops in (1, 2)
            }
            for n in lengths
        },
        "by_distance": {
            str(far): {
                str(hops): right([
                    f for f in everything
                    if near < f[0].distance <= far and f[0].hops == hops
                ])
                for hops in (1, 2)
            }
            for near, far in itertools.pairwise(EDGES)
        },
        "chosen": chosen(
            model, few([hop_text(1024, f"{split}/{i}") for i in range(16)])
        ),
        "curve": curve(losses, pace),
    }  # fmt: skip


rates = {
    variant: tune(
        long_run,
        variant,
        RATES,
        lambda run, rate, v=variant: validate(run, v, rate),
        "validation_accuracy",
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
run = "dense, longer"
long_run.measure(run, lambda: measure(run, "dense", rates["dense"], 0, 2 * STEPS))
for name, options in SWEEP.items():
    run = f"{name}, seed 0"
    long_run.measure(
        run,
        lambda run=run, o=options: measure(
            run, "learned", rates["learned"], 0, SWEEP_STEPS, **o
        ),
    )
# the curves hold times of this machine
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
