"""Which prediction does a small network learn best at which step?

Points in the plane, whose best denoiser is known. Noise, clean sample and velocity, and
the noise with min-SNR weights: every one with the better of four learning rates, then
three seeds. Plan: 2,000 steps take seven seconds of one core, 28 runs four minutes.
"""

from pathlib import Path

import torch

from llm_tutorial.diffusion.losses import diffusion_loss, min_snr_weights
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.diffusion.toy import PointNetwork, excess_error, excess_nats
from llm_tutorial.experiments import tune, with_seeds
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, SEEDS = 2000, 256, range(3)
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
KINDS = {
    "epsilon": "epsilon", "sample": "sample", "v_prediction": "v_prediction",
    "epsilon, min-SNR": "epsilon",
}  # fmt: skip

torch.set_num_threads(1)
long_run = LongRun("math", Path(__file__))
toy, schedule = three_islands(), make_schedule("linear", 100, 1e-3, 0.2)
long_run.data = {"toy": data_digest(toy.centres.tolist())}


def batch_at(step: int) -> list:
    timesteps = torch.randint(len(schedule), (BATCH,))
    drawn = toy.sample(BATCH), torch.randn(BATCH, 2), timesteps
    return list(zip(*(each.split(64) for each in drawn), strict=True))  # four parts


def train(run: str, variant: str, rate: float, seed: int) -> dict:
    torch.manual_seed(seed)
    network, kind = PointNetwork(len(schedule)), KINDS[variant]
    weights = min_snr_weights(kind, schedule) if "min-SNR" in variant else None

    def loss_of(model: torch.nn.Module, batch: list, device: object) -> torch.Tensor:
        drawn = (torch.cat(each) for each in zip(*batch, strict=True))
        return diffusion_loss(model, *drawn, schedule, kind, weights).sum()

    optimizer = adamw(network, rate)
    losses = fit(
        network, batch_at, optimizer, STEPS, linear_decay(optimizer, STEPS, warmup=50),
        seed=seed, description=run, loss_of=loss_of, count=lambda batch: BATCH,
    )  # fmt: skip
    points = len(long_run.few(range(4096), 256))
    generator = torch.Generator().manual_seed(1)
    errors = excess_error(network, kind, toy, schedule, points, generator)
    nats = excess_nats(errors, schedule)
    return {"losses": losses, "rate": rate, "errors": errors.tolist(), "nats": nats}


def with_rate(run: str, variant: str, seed: int) -> dict:
    return train(run, variant, rates[variant], seed)


rates = {
    variant: tune(
        long_run, variant, RATES,
        lambda run, rate, variant=variant: train(run, variant, rate, len(SEEDS)),
        by="nats", best=min,
    )
    for variant in KINDS
}  # fmt: skip
with_seeds(long_run, list(KINDS), SEEDS, with_rate)
long_run.finish(seeds=list(SEEDS), steps=STEPS, rates=list(RATES))
