"""What another clock changes in training: a schedule against the straight path.

Shapes at 16 pixels: velocity on Stable Diffusion's schedule (zero terminal SNR), and
flow matching with even fractions of noise. The same U-Net, pictures and steps; each the
best of three learning rates, then three seeds. A caption has two words, colour and
shape; where the thing stands is left open, so that many pictures are right. Every
network is sampled at the levels of its own clock and of the other. And points in the
plane, whose best velocity is known: flow matching with even and with logit-normal
fractions.
Plan: a run on shapes takes half a minute of one core, one on points some seconds.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from llm_tutorial.diffusion.flow import FlowEuler, flow_fractions, flow_generate
from llm_tutorial.diffusion.losses import diffusion_loss
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.small_shapes import (
    ShapeNetwork,
    adherence,
    as_patches,
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
    logit_normal,
    on_line,
    perfect_velocity,
)
from llm_tutorial.diffusion.toy import PointNetwork
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS = 400, 32, range(3)
PICTURES, ASKED, SAMPLED = 4000, 96, (1, 2, 5, 10, 50)
RATES = (1.5e-3, 5e-3, 1.5e-2)
POINT_STEPS, POINT_RATES = 1000, (3e-3, 1e-2, 3e-2)
CLOCKS, DRAWS = ("schedule", "flow"), ("even fractions", "logit-normal fractions")

torch.set_num_threads(1)
long_run = LongRun("flow", Path(__file__), probed_steps=3)
toy, schedule = three_islands(), zero_terminal_snr(make_schedule())
known = fractions_of(schedule)
train = large_things(PICTURES)
tuned_on, asked = (large_things(ASKED, "validation", seed) for seed in (2, 1))
long_run.data = {"train": data_digest(train), "asked": data_digest([tuned_on, asked])}
patches, words = as_patches(drawn(train)), word_ids(without_place(train))


def shapes_at(step: int) -> list[tuple[Tensor, ...]]:
    chosen = torch.randint(PICTURES, (BATCH,))
    x0, when = patches[chosen], torch.rand(BATCH)
    return list(zip(x0, torch.randn_like(x0), when, words[chosen], strict=True))


def shapes_loss(clock: str, model: nn.Module, batch: list, device: object) -> Tensor:
    x0, noise, when, asked_for = (
        torch.stack(each) for each in zip(*batch, strict=True)
    )
    if clock == "flow":
        return flow_loss(
            lambda z, f: model(z, 1000 * f, asked_for), x0, noise, when
        ).sum()
    timesteps = (
        (1000 * when).long().clamp(max=999)
    )  # the same draw, evenly from 0 to 999
    return diffusion_loss(
        lambda x, t: model(x, t, asked_for),
        x0,
        noise,
        timesteps,
        schedule,
        "v_prediction",
    ).sum()


def fractions_at(levels: str, steps: int) -> list[float]:
    if levels == "flow":
        return flow_fractions(steps)
    return known[spaced_timesteps("trailing", steps)].tolist()


@torch.no_grad()
def adherence_of(
    network: nn.Module, clock: str, steps: int, levels: str, some: list
) -> dict:
    """By Euler's method on the straight path; at a schedule's levels it is DDIM."""
    asked = without_place(some)
    asked_for = word_ids(asked)
    if clock == "flow":
        velocity = lambda z, f: network(z, 1000 * f, asked_for)  # noqa: E731
    else:
        velocity = flow_network(lambda x, t: network(x, t, asked_for), schedule)
    start = torch.randn(len(some), 12, 8, 8, generator=torch.Generator().manual_seed(1))
    made = flow_generate(velocity, FlowEuler(fractions_at(levels, steps)), start)
    return adherence(as_pictures(made), asked)


def train_shapes(
    run: str, clock: str, rate: float, seed: int, last: bool = False
) -> dict:
    torch.manual_seed(seed)
    network = ShapeNetwork()
    optimizer = adamw(network, rate)
    losses = fit(
        network, shapes_at, optimizer, STEPS, linear_decay(optimizer, STEPS, warmup=50),
        long_run.state_of(run), seed, save_every=100, description=run,
        loss_of=partial(shapes_loss, clock), count=len,
    )  # fmt: skip
    found = {
        "losses": losses,
        "rate": rate,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, STEPS, 50)],
    }
    if not last:
        some = long_run.few(tuned_on)
        own = [adherence_of(network, clock, steps, clock, some) for steps in (5, 20)]
        return found | {"obeyed": sum(each["all"] for each in own) / 2}
    if clock == "flow" and seed == 0:
        save_network(network, long_run.folder)
    some = long_run.few(asked)
    return found | {
        f"obeyed, levels of {levels}": {
            str(steps): adherence_of(network, clock, steps, levels, some)
            for steps in SAMPLED
        }
        for levels in CLOCKS
    }


def train_points(run: str, draw: str, rate: float, seed: int) -> dict:
    def points_at(step: int) -> list[tuple[Tensor, ...]]:
        even, uneven = torch.rand(256), logit_normal(256)
        when = even if draw == "even fractions" else uneven
        return list(zip(toy.sample(256), torch.randn(256, 2), when, strict=True))

    def loss_of(model: nn.Module, batch: list, device: object) -> Tensor:
        return flow_loss(model, *map(torch.stack, zip(*batch, strict=True))).sum()

    torch.manual_seed(seed)
    network = PointNetwork(2)  # its time is the timestep over 2 - 1: the fraction
    optimizer = adamw(network, rate)
    losses = fit(
        network, points_at, optimizer, POINT_STEPS,
        linear_decay(optimizer, POINT_STEPS, warmup=50), seed=seed, description=run,
        loss_of=loss_of, count=len,
    )  # fmt: skip
    count = len(long_run.few(range(2048), 256))
    generator, perfect, errors = (
        torch.Generator().manual_seed(1),
        perfect_velocity(toy),
        [],
    )
    with torch.no_grad():
        for fraction in torch.arange(0.05, 1, 0.05):
            clean, noise = (
                toy.sample(count, generator),
                torch.randn(count, 2, generator=generator),
            )
            z = on_line(clean, noise, fraction.expand(count))
            wrong = network(z, fraction) - perfect(z, fraction)
            errors.append(wrong.square().sum(1).mean().item())
    return {
        "losses": losses,
        "rate": rate,
        "errors": errors,
        "error": sum(errors) / len(errors),
    }


clock_rates = {
    clock: tune(
        long_run, clock, RATES,
        lambda run, rate, clock=clock: train_shapes(run, clock, rate, len(SEEDS)),
        by="obeyed",
    )
    for clock in CLOCKS
}  # fmt: skip
with_seeds(
    long_run, list(CLOCKS), SEEDS,
    lambda run, clock, seed: train_shapes(
        run, clock, clock_rates[clock], seed, last=True
    ),
)  # fmt: skip
draw_rates = {
    draw: tune(
        long_run, draw, POINT_RATES,
        lambda run, rate, draw=draw: train_points(run, draw, rate, len(SEEDS)),
        by="error", best=min,
    )
    for draw in DRAWS
}  # fmt: skip
with_seeds(
    long_run, list(DRAWS), SEEDS,
    lambda run, draw, seed: train_points(run, draw, draw_rates[draw], seed),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, rates=list(RATES))
