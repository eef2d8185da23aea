"""Flow matching with even and with logit-normal shares of noise, on points in a plane.

The best velocity is known, so that the error is too. Each the best of three learning
rates, then three seeds. Plan: a run takes four seconds of one core, 12 runs a minute.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.straight import (
    flow_loss,
    logit_normal,
    on_line,
    perfect_velocity,
)
from llm_tutorial.diffusion.toy import PointNetwork
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS, RATES = 1000, 256, range(3), (3e-3, 1e-2, 3e-2)
DRAWS = ("even shares", "logit-normal shares")
SHARES = [0.05 * place for place in range(1, 20)]

torch.set_num_threads(1)
long_run = LongRun("flow_points", Path(__file__), probed_steps=3)
toy, perfect = three_islands(), perfect_velocity(three_islands())
long_run.data = {"toy": data_digest(toy.centres.tolist())}


def train(run: str, draw: str, rate: float, seed: int) -> dict:
    def points_at(step: int) -> list[tuple[Tensor, ...]]:
        when = torch.rand(BATCH) if draw == "even shares" else logit_normal(BATCH)
        drawn = toy.sample(BATCH), torch.randn(BATCH, 2), when
        return list(zip(*(each.split(64) for each in drawn), strict=True))  # four parts

    def loss_of(model: nn.Module, batch: list, device: object) -> Tensor:
        drawn = (torch.cat(each) for each in zip(*batch, strict=True))
        return flow_loss(model, *drawn).sum()

    torch.manual_seed(seed)
    network = PointNetwork(2)  # its time is the timestep over 2 - 1: the share
    optimizer = adamw(network, rate)
    losses = fit(
        network, points_at, optimizer, STEPS, linear_decay(optimizer, STEPS, warmup=50),
        seed=seed, description=run, loss_of=loss_of, count=lambda batch: BATCH,
    )  # fmt: skip
    errors = errors_of(network)
    error = sum(errors) / len(errors)
    return {"losses": losses, "rate": rate, "errors": errors, "error": error}


@torch.no_grad()
def errors_of(network: nn.Module) -> list[float]:
    """Mean squared distance of the velocity from the best one, at each share."""
    count = len(long_run.few(range(2048), 256))
    generator, errors = torch.Generator().manual_seed(1), []
    for share in map(torch.tensor, SHARES):
        clean = toy.sample(count, generator)
        noise = torch.randn(count, 2, generator=generator)
        z = on_line(clean, noise, share.expand(count))
        off = network(z, share) - perfect(z, share)
        errors.append(off.square().sum(1).mean().item())
    return errors


rates = {
    draw: tune(
        long_run, draw, RATES,
        lambda run, rate, draw=draw: train(run, draw, rate, len(SEEDS)),
        by="error", best=min,
    )
    for draw in DRAWS
}  # fmt: skip
with_seeds(
    long_run, list(DRAWS), SEEDS,
    lambda run, draw, seed: train(run, draw, rates[draw], seed),
)  # fmt: skip
long_run.finish(seeds=list(SEEDS), steps=STEPS, rates=list(RATES))
