"""Signals with a known answer: which pooling finds a motif, which stack sees a pulse.

Each variant gets its best rate of three or more by the loss on validation signals,
then three seeds. Ten variants, about 65 runs of 1 to 2 seconds of one core.
"""

# %% settings
from pathlib import Path

import torch
from torch.nn import functional as F

from llm_tutorial.cnn.design import Design, parameters, within
from llm_tutorial.cnn.sweeps import (
    best_rate,
    ceiling,
    cued,
    outputs_of,
    place_loss,
    pulses,
    train,
)
from llm_tutorial.experiments import with_seeds
from llm_tutorial.runs import LongRun, data_digest

SEEDS, STEPS, BATCH, BUDGET, LENGTH = range(3), 200, 64, 4000, 128
STACKS = {  # four layers each, how many places each sees before and behind
    "kernel 3": (Design((16,), 4, 3, pooling="none"), 4),
    "kernel 9": (Design((16,), 4, 9, pooling="none"), 16),
    "dilations 1, 2, 4, 8": (Design((16,), 4, 3, (1, 2, 4, 8), pooling="none"), 15),
    "dilation 4": (Design((16,), 4, 3, (4,), pooling="none"), 16),
}

torch.set_num_threads(1)
long_run = LongRun("design_signals", Path(__file__), probed_steps=3)
few = long_run.few


def fixed(make, seed, count):
    """The same examples whenever they are asked for."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    made = make(count)
    torch.random.set_rng_state(state)
    return made


# %% is the motif there?
def classify(run, variant, rate, seed, data):
    places, _, pooling = variant.partition(" places, ")

    def make(count):
        return cued(count, int(places), length=LENGTH)

    torch.manual_seed(seed)
    model = Design((8,), kernel=9, pooling=pooling).build((1, LENGTH), 2)
    losses = train(
        model, lambda: make(BATCH), F.cross_entropy, rate, STEPS, seed,
        long_run.state_of(run), run,
    )  # fmt: skip
    x, y = fixed(make, *data)
    at = torch.tensor(few(range(len(y)), 50))
    said = outputs_of(model, x[at])
    return {
        "losses": losses, "rate": rate, "parameters": parameters(model),
        "loss": float(F.cross_entropy(said, y[at])),
        "accuracy": float((said.argmax(-1) == y[at]).double().mean()),
    }  # fmt: skip


# %% which way did the last pulse go?
def label(run, variant, rate, seed, data):
    design, reach = STACKS[variant]
    torch.manual_seed(seed)
    model = within(design, BUDGET, (1, LENGTH), 2).build((1, LENGTH), 2)
    losses = train(
        model, lambda: pulses(BATCH // 4, LENGTH), place_loss, rate, STEPS, seed,
        long_run.state_of(run), run,
    )  # fmt: skip
    x, y = fixed(lambda count: pulses(count, LENGTH), *data)
    at = torch.tensor(few(range(len(y)), 20))
    said, wanted = outputs_of(model, x[at]), y[at]
    inside = torch.arange(LENGTH) >= LENGTH // 2  # away from the beginning
    right = (said.argmax(1) == wanted)[:, inside]
    return {
        "losses": losses, "rate": rate, "parameters": parameters(model),
        "reach": reach, "ceiling": ceiling(reach),
        "loss": float(place_loss(said, wanted)),
        "accuracy": float(right[wanted[:, inside] >= 0].double().mean()),
    }  # fmt: skip


# %% compare
long_run.data = {"pulses": data_digest(fixed(pulses, 101, 100)[1].tolist())}
VALIDATION, TEST = (101, 1000), (202, 4000)  # seed and number of the signals
VARIANTS = {
    f"{places} places, {pooling}": (classify, 3e-2)
    for places in (1, 16)
    for pooling in ("max", "mean", "attention")
} | dict.fromkeys(STACKS, (label, 1e-2))
for variant, (measure, middle) in VARIANTS.items():
    rate = best_rate(
        long_run, variant, middle,
        lambda run, rate, m=measure, v=variant: m(run, v, rate, len(SEEDS), VALIDATION),
    )  # fmt: skip
    with_seeds(
        long_run, [variant], SEEDS,
        lambda run, v, seed, m=measure, r=rate: m(run, v, r, seed, TEST),
    )  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, tolerance=0.3)
