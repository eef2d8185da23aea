"""What another clock changes in training: a schedule against the straight path.

Shapes at 16 pixels. `schedule`: velocity on Stable Diffusion's schedule (zero terminal
SNR). `flow`: flow matching. `flow, by v`: flow matching by a network that is given x_t
and predicts v, the rest as in `flow`. The same network, pictures and steps; each the
best of six learning rates, then three seeds. A caption has two words, colour and shape;
where the thing stands is left open, so that many pictures are right. Every network is
sampled at the levels of both clocks.
Plan: a run takes fifteen seconds of one core, 29 runs seven minutes.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from llm_tutorial.diffusion.flow import (
    FlowEuler,
    FlowNetwork,
    flow_fractions,
    flow_generate,
)
from llm_tutorial.diffusion.losses import diffusion_loss
from llm_tutorial.diffusion.schedule import like, make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.small_shapes import (
    ShapeNetwork,
    adherence,
    as_inputs,
    as_pictures,
    drawn,
    large_things,
    save_network,
    without_place,
    word_ids,
)
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.diffusion.straight import (
    flow_loss,
    flow_network,
    fractions_of,
)
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS = 600, 64, range(3)
PICTURES, ASKED, SAMPLED = 4000, 128, (1, 2, 5, 10, 50)
RATES = (7e-4, 1e-3, 1.4e-3, 2e-3, 2.8e-3, 4e-3)
KINDS, LEVELS = ("schedule", "flow", "flow, by v"), ("schedule", "flow")

torch.set_num_threads(1)
long_run = LongRun("flow", Path(__file__), probed_steps=3)
schedule = zero_terminal_snr(make_schedule())
known = fractions_of(schedule)
train = large_things(PICTURES)
tuned_on, asked = (large_things(ASKED, "validation", seed) for seed in (2, 1))
long_run.data = {"train": data_digest(train), "asked": data_digest([tuned_on, asked])}
inputs, words = as_inputs(drawn(train)), word_ids(without_place(train))


def shapes_at(step: int) -> list[tuple[Tensor, ...]]:
    chosen = torch.randint(PICTURES, (BATCH,))
    x0, when = inputs[chosen], torch.rand(BATCH)
    return list(zip(x0, torch.randn_like(x0), when, words[chosen], strict=True))


def velocity_of(kind: str, model: nn.Module, asked_for: Tensor) -> FlowNetwork:
    """A network of any kind, as one of the straight path."""
    if kind == "schedule":
        return flow_network(lambda x, t: model(x, t, asked_for), schedule)

    def by_v(z: Tensor, f: Tensor) -> Tensor:
        share = like(f.reshape(-1), z)
        length = ((1 - share).square() + share.square()).sqrt()
        a, sigma = (1 - share) / length, share / length
        x = z / length
        return (sigma - a) * x + (a + sigma) * model(x, 1000 * f, asked_for)  # (4)

    return by_v if kind == "flow, by v" else lambda z, f: model(z, 1000 * f, asked_for)


def shapes_loss(kind: str, model: nn.Module, batch: list, device: object) -> Tensor:
    drawn = (torch.stack(each) for each in zip(*batch, strict=True))
    x0, noise, when, asked_for = drawn
    if kind != "schedule":
        return flow_loss(velocity_of(kind, model, asked_for), x0, noise, when).sum()
    timesteps = (1000 * when).long().clamp(max=999)  # the same draw, evenly
    v = lambda x, t: model(x, t, asked_for)  # noqa: E731
    return diffusion_loss(v, x0, noise, timesteps, schedule, "v_prediction").sum()


def fractions_at(levels: str, steps: int) -> list[float]:
    if levels == "flow":
        return flow_fractions(steps)
    return known[spaced_timesteps("trailing", steps)].tolist()


@torch.no_grad()
def adherence_of(
    network: nn.Module, kind: str, steps: int, levels: str, some: list
) -> dict:
    """By Euler's method on the straight path; at a schedule's levels it is DDIM."""
    asked = without_place(some)
    asked_for = word_ids(asked)
    velocity = velocity_of(kind, network, asked_for)
    start = torch.randn(
        len(some), 3, 16, 16, generator=torch.Generator().manual_seed(1)
    )
    made = flow_generate(velocity, FlowEuler(fractions_at(levels, steps)), start)
    return adherence(as_pictures(made), asked)


def train_shapes(
    run: str, kind: str, rate: float, seed: int, last: bool = False, clip: bool = True
) -> dict:
    torch.manual_seed(seed)
    network = ShapeNetwork()
    optimizer = adamw(network, rate)
    losses = fit(
        network, shapes_at, optimizer, STEPS, linear_decay(optimizer, STEPS, warmup=50),
        long_run.state_of(run), seed, save_every=100, description=run,
        max_grad_norm=1.0 if clip else None,
        loss_of=partial(shapes_loss, kind), count=len,
    )  # fmt: skip
    found = {
        "losses": losses,
        "rate": rate,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, STEPS, 50)],
    }
    if not last:
        some = long_run.few(tuned_on)
        shares = [
            adherence_of(network, kind, steps, levels, some)["all"]
            for steps in (5, 20)
            for levels in LEVELS
        ]
        return found | {"obeyed": sum(shares) / len(shares)}
    if kind == "flow" and seed == 0:
        save_network(network, long_run.folder)
    some = long_run.few(asked)
    return found | {
        f"obeyed, levels of {levels}": {
            str(steps): adherence_of(network, kind, steps, levels, some)
            for steps in SAMPLED
        }
        for levels in LEVELS
    }


rates = {
    kind: tune(
        long_run, kind, RATES,
        lambda run, rate, kind=kind: train_shapes(run, kind, rate, len(SEEDS)),
        by="obeyed",
    )
    for kind in KINDS
}  # fmt: skip
for kind in ("schedule", "flow"):  # is it the clipping of the gradients?
    run = f"{kind}, not clipped"
    long_run.measure(
        run, partial(train_shapes, run, kind, 2e-3, len(SEEDS), clip=False)
    )
with_seeds(
    long_run, list(KINDS), SEEDS,
    lambda run, kind, seed: train_shapes(
        run, kind, rates[kind], seed, last=True
    ),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, rates=list(RATES))
