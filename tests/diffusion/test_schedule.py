"""The forward process is Diffusers' own, and its closed forms are what the chain of steps does."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from llm_tutorial.diffusion.schedule import Schedule, make_schedule, zero_terminal_snr

KINDS = [("linear", 1e-4, 0.02), ("scaled_linear", 0.00085, 0.012), ("squaredcos_cap_v2", 1e-4, 0.02)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero", [False, True])
def test_every_schedule_is_that_of_diffusers(kind: tuple, zero: bool) -> None:
    name, start, end = kind
    ours = make_schedule(name, 1000, start, end)
    ours = zero_terminal_snr(ours) if zero else ours
    theirs = DDIMScheduler(beta_schedule=name, beta_start=start, beta_end=end, rescale_betas_zero_snr=zero)
    assert torch.allclose(ours.alphas_cumprod.float(), theirs.alphas_cumprod, rtol=2e-4, atol=1e-6)


def test_noise_is_added_as_diffusers_adds_it() -> None:
    ours, theirs = make_schedule("linear", 1000, 1e-4, 0.02), DDPMScheduler()
    sample, noise, timesteps = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 500, 999])
    assert torch.allclose(
        ours.add_noise(sample, noise, timesteps), theirs.add_noise(sample, noise, timesteps), atol=1e-4
    )


@pytest.mark.parametrize("timestep", [0, 1, 500, 999])
def test_the_posterior_is_a_step_of_diffusers(timestep: int) -> None:
    """A network that knows the clean sample makes a step to the posterior's mean, plus noise of its variance."""
    ours = make_schedule("linear", 1000, 1e-4, 0.02)
    theirs = DDPMScheduler(prediction_type="sample", clip_sample=False, variance_type="fixed_small")
    sample, noisy, at = torch.randn(1, 8), torch.randn(1, 8), torch.tensor([timestep])
    mean, variance = ours.posterior(sample, noisy, at)
    stepped = theirs.step(sample, timestep, noisy, generator=torch.Generator().manual_seed(0)).prev_sample
    noise = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(stepped, mean + variance.sqrt() * noise, atol=2e-3)  # theirs is float32


def test_the_marginal_is_what_many_small_steps_come_to() -> None:
    schedule, generator = make_schedule("linear", 50, 1e-3, 0.2), torch.Generator().manual_seed(0)
    points = torch.full((200_000,), 2.0)
    for beta in schedule.betas:
        points = (1 - beta).sqrt() * points + beta.sqrt() * torch.randn(len(points), generator=generator)
    last = torch.tensor([49])
    assert abs(points.mean() - 2 * schedule.signal(last)) < 0.01
    assert abs(points.std() - schedule.noise(last)) < 0.01


def test_the_posterior_of_the_first_step_is_the_sample_itself() -> None:
    schedule, sample = make_schedule(), torch.randn(3, 4)
    mean, variance = schedule.posterior(sample, torch.randn(3, 4), torch.zeros(3, dtype=torch.long))
    assert torch.allclose(mean, sample)
    assert not variance.any()


def test_zero_terminal_snr_leaves_nothing_and_keeps_the_first_step() -> None:
    for name, start, end in KINDS:
        before = make_schedule(name, 1000, start, end)
        after = zero_terminal_snr(before)
        assert after.alphas_cumprod[-1] == 0
        assert after.snr()[-1] == 0 < before.snr()[-1]
        assert torch.allclose(after.betas[0], before.betas[0])
        assert bool((after.alphas_cumprod.diff() < 0).all())


def test_half_precision_stays_half_precision() -> None:
    schedule, sample = make_schedule(), torch.ones(2, 3, dtype=torch.float16)
    noisy = schedule.add_noise(sample, torch.zeros_like(sample), torch.tensor([0, 999]))
    assert noisy.dtype == torch.float16
    assert noisy[0, 0] > 0.99
    assert 0.06 < noisy[1, 0] < 0.07
    assert schedule.posterior(sample, noisy, torch.tensor([0, 999]))[0].dtype == torch.float16


@pytest.mark.parametrize("betas", [[], [[0.1]], [-0.1], [1.5], [float("nan")]])
def test_betas_that_are_no_variances_are_refused(betas: list) -> None:
    with pytest.raises(ValueError, match="每一步一个"):
        Schedule(torch.tensor(betas))


@pytest.mark.parametrize("timestep", [-1, 1000])
def test_a_timestep_off_the_chain_is_refused(timestep: int) -> None:
    """Index -1 would silently be the last step."""
    with pytest.raises(ValueError, match="0 to 999"):
        make_schedule().add_noise(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([timestep]))


def test_an_unknown_schedule_and_a_chain_without_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="scaled_linear"):
        make_schedule("cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one step"):
        make_schedule("linear", 0)
