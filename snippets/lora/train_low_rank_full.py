"""Full fine-tuning of SmolLM2-135M on the same pairs; then the update's spectrum.

The rate is tuned; three seeds.
"""

from pathlib import Path

import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.inject import matching_linears
from llm_tutorial.lora.task import (
    batches,
    exact_match,
    forgetting,
    held_out_loss,
    quality,
    validation_pairs,
)
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import fit, linear_decay

MODEL, STEPS, SEEDS = "smollm2-135m", 100, range(3)
RATES, TUNING_STEPS = (3e-5, 1e-4, 3e-4, 1e-3), 30
RANKS = (1, 2, 4, 8, 16, 32, 64, 128)

long_run = LongRun("low_rank_full", Path(__file__), probed_steps=3)
few = long_run.few
tokenizer = load_tokenizer(MODEL)
pairs = cldr_pairs(STEPS * 16)
test, validation = cldr_pairs(200, "held_out"), validation_pairs()
assert not {pair.english for pair in pairs} & {
    pair.english for pair in test + validation
}
long_run.data = {"train": data_digest(pairs), "held_out": data_digest(test)}


def train(
    run: str, rate: float, steps: int, seed: int
) -> tuple[torch.nn.Module, list[float]]:
    model = load_model(MODEL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0)
    losses = fit(
        model, batches(tokenizer, pairs, seed=seed), optimizer, steps,
        linear_decay(optimizer, steps), state=long_run.state_of(run), seed=seed,
        description=run, save_every=50,
    )  # fmt: skip
    return model, losses


def tune(rate: float) -> dict:
    model, losses = train(f"rate {rate:g}", rate, TUNING_STEPS, seed=0)
    return {
        "losses": losses,
        "validation_loss": held_out_loss(model, tokenizer, few(validation)),
    }


def full(rate: float, seed: int) -> dict:
    model, losses = train(f"full, seed {seed}", rate, STEPS, seed)
    measured = {
        "losses": losses,
        "rate": rate,
        **quality(model, tokenizer, few),
        **forgetting(model, tokenizer, few),
    }
    return measured | (spectrum(model) if seed == 0 else {})


@torch.no_grad()
def spectrum(model: torch.nn.Module) -> dict:
    """Singular values of update and weight; exact match of the update cut to ranks."""
    pretrained = load_model(MODEL)
    names = few(matching_linears(model, "all-linear"))
    factors, update_energy, weight_energy = {}, [], []
    for name in names:
        before, after = (
            pretrained.get_submodule(name).weight,
            model.get_submodule(name).weight,
        )
        U, S, Vh = torch.linalg.svd(after - before, full_matrices=False)
        factors[name] = U, S, Vh
        for singular, energies in (
            (S, update_energy),
            (torch.linalg.svdvals(before), weight_energy),
        ):
            share = (singular**2).cumsum(0) / (singular**2).sum()
            energies.append([float(share[rank - 1]) for rank in RANKS])
    some = few(test[:100])
    truncated, random = {}, {}
    everything_else = exact_match(cut(pretrained, model, factors, 0), tokenizer, some)
    for rank in few(RANKS):
        truncated[rank] = exact_match(
            cut(pretrained, model, factors, rank), tokenizer, some
        )
        random[rank] = exact_match(
            cut(pretrained, model, factors, rank, random=True), tokenizer, some
        )
    mean = lambda rows: [  # noqa: E731
        sum(column) / len(column) for column in zip(*rows, strict=True)
    ]
    return {
        "ranks": list(RANKS), "update_energy": mean(update_energy),
        "weight_energy": mean(weight_energy), "truncated": list(truncated.values()),
        "random": list(random.values()), "without_linear": everything_else,
    }  # fmt: skip


@torch.no_grad()
def cut(
    pretrained: torch.nn.Module,
    model: torch.nn.Module,
    factors: dict,
    rank: int,
    random: bool = False,
) -> torch.nn.Module:
    """The fine-tuned model with each layer's update cut to a rank, best or random."""
    result = load_model(MODEL)
    result.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    for name, (U, S, Vh) in factors.items():
        if random:
            basis = torch.linalg.qr(
                torch.randn(len(U), max(rank, 1), generator=generator)
            ).Q  # (out_features, rank)
            update = basis @ (basis.T @ (U * S) @ Vh)
        else:
            update = (U[:, :rank] * S[:rank]) @ Vh[:rank]
        result.get_submodule(name).weight.copy_(
            pretrained.get_submodule(name).weight + update
        )
    return result


tuned = {
    rate: long_run.measure(f"rate {rate:g}", lambda rate=rate: tune(rate))
    for rate in RATES
}
best = min(tuned, key=lambda rate: tuned[rate]["validation_loss"])
for seed in SEEDS:
    long_run.measure(f"full, seed {seed}", lambda seed=seed: full(best, seed))
long_run.finish(seeds=list(SEEDS), steps=STEPS, rate=best)
