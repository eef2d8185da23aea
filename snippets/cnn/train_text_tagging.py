"""Names in the People's Daily: a dilated stack of convolutions, and the same undilated.

Steps and characters as those of the taggers of chapter lora: 300 steps of 2,048. The
rate is the best of three on validation after 100 steps; then three seeds each.
Nine runs of 10 to 30 seconds of one core, about three minutes.
"""

from pathlib import Path

import torch

from llm_tutorial.cnn.tagging import (
    DilatedTagger,
    entities_of,
    tag,
    tag_loss,
)
from llm_tutorial.cnn.text_cnn import vocabulary
from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.tagging import ENTITY_TYPES, count_characters, crops, score
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, TUNING_STEPS, SEEDS, BATCH, LENGTH = 300, 100, range(3), 8, 256
RATES = (1e-3, 3e-3, 9e-3)
DILATIONS = {"dilated": (1, 2, 4, 1), "undilated": (1, 1, 1, 1)}

torch.set_num_threads(1)
long_run = LongRun("text_tagging", Path(__file__))
few = long_run.few
documents = {split: people_daily(split) for split in ("train", "validation", "test")}
numbers = vocabulary(document.text for document in documents["train"])
examples = {split: tag(documents[split], numbers) for split in documents}
long_run.data = {split: data_digest(documents[split]) for split in documents}


def measure(run, variant, rate, seed, steps, split):
    torch.manual_seed(seed)
    model = DilatedTagger(len(numbers), dilations=DILATIONS[variant])
    optimizer = adamw(model, rate, ("embedding", "pair"))  # their rows are seen seldom
    losses = fit(
        model, crops(examples["train"], BATCH, LENGTH, seed), optimizer, steps,
        linear_decay(optimizer, steps, warmup=20), long_run.state_of(run), seed,
        save_every=100, description=run, loss_of=tag_loss, count=count_characters,
    )  # fmt: skip
    model.cpu()
    found = entities_of(model, few(examples[split]))
    scores = score(found, [d.entities for d in few(documents[split])])
    return {
        "losses": losses, "rate": rate, "field": model.field,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{key: scores[key] for key in ("f1", *ENTITY_TYPES)},
    }  # fmt: skip


rates = {
    variant: tune(
        long_run, variant, RATES,
        lambda run, rate, v=variant: measure(
            run, v, rate, len(SEEDS), TUNING_STEPS, "validation"
        ),
        by="f1",
    )
    for variant in DILATIONS
}  # fmt: skip
with_seeds(
    long_run, list(DILATIONS), SEEDS,
    lambda run, variant, seed: measure(
        run, variant, rates[variant], seed, STEPS, "test"
    ),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
