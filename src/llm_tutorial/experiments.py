"""Experiments of the kind that most pages make: tune each method over rates, then train it with several seeds.

Every opponent gets the same choices, the same steps and the same seeds. The names of the runs are those of the
manifest: ``"dense, rate 0.001"`` and ``"dense, seed 0"``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from llm_tutorial.runs import LongRun

Metrics = dict[str, Any]


def tune(
    long_run: LongRun,
    variant: str,
    rates: Iterable[float],
    train: Callable[[str, float], Metrics],
    by: str,
    best: Callable[..., float] = max,
) -> float:
    """The learning rate that is best on validation; choose rates of which the ends are not the best.

    Args:
        long_run: Measures each run once.
        variant: What is tuned.
        rates: Learning rates to try.
        train: Given the run's name and a rate, trains and returns metrics.
        by: The metric that decides.
        best: ``max``, or ``min`` for a loss.

    Example:
        >>> from types import SimpleNamespace
        >>> long_run = SimpleNamespace(measure=lambda run, train: train())
        >>> tune(long_run, "dense", [0.1, 0.2, 0.4], lambda run, rate: {"loss": abs(rate - 0.3)}, by="loss", best=min)
        0.2
    """
    tuned = {}
    for rate in rates:
        run = f"{variant}, rate {rate:g}"
        tuned[rate] = long_run.measure(run, partial(train, run, rate))[by]
    return best(tuned, key=lambda rate: tuned[rate])


def with_seeds(
    long_run: LongRun, variants: Sequence[str], seeds: Iterable[int], train: Callable[[str, str, int], Metrics]
) -> dict[str, list[Metrics]]:
    """Every variant with every seed, seed by seed, so that an unfinished comparison is still one.

    Args:
        long_run: Measures each run once.
        variants: What is compared.
        seeds: Seeds of the weights, the order of the data and dropout.
        train: Given the run's name, the variant and the seed, trains and returns metrics.

    Returns:
        The metrics of each variant, one for each seed.

    Example:
        >>> from types import SimpleNamespace
        >>> long_run = SimpleNamespace(measure=lambda run, train: train())
        >>> with_seeds(long_run, ["dense", "sparse"], [0, 1], lambda run, variant, seed: {"f1": 0.5 + seed})
        {'dense': [{'f1': 0.5}, {'f1': 1.5}], 'sparse': [{'f1': 0.5}, {'f1': 1.5}]}
    """
    found: dict[str, list[Metrics]] = {variant: [] for variant in variants}
    for seed in seeds:
        for variant in variants:
            run = f"{variant}, seed {seed}"
            found[variant].append(long_run.measure(run, partial(train, run, variant, seed)))
    return found


def by_seed(manifest: Mapping[str, Any], variant: str) -> list[Metrics]:
    """The metrics of a variant, one for each seed that it was trained with.

    Args:
        manifest: As ``llm_tutorial.results.results`` gives it.
        variant: As the training script calls it.

    Raises:
        ValueError: There is no such variant; the message names those there are.

    Example:
        >>> manifest = {"seeds": [0, 1], "metrics": {"dense, seed 0": {"f1": 0.5}, "dense, seed 1": {"f1": 0.75}}}
        >>> by_seed(manifest, "dense")
        [{'f1': 0.5}, {'f1': 0.75}]
    """
    runs = manifest["metrics"]
    found = [runs[run] for seed in manifest["seeds"] if (run := f"{variant}, seed {seed}") in runs]
    if not found:
        known = sorted({run.rpartition(", seed ")[0] for run in runs if ", seed " in run})
        raise ValueError(
            f"no variant {variant!r} with seeds; there are {known}\n没有带种子的 {variant!r}；有的是 {known}"
        )
    return found
