"""Predictions become one another exactly; weights are those of the papers."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from llm_tutorial.diffusion.losses import convert, diffusion_loss, min_snr_weights, sample_and_noise, target_of
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr

KINDS = ("epsilon", "sample", "v_prediction")
SCHEDULE = make_schedule("linear", 1000, 1e-4, 0.02)
TIMESTEPS = torch.tensor([0, 10, 500, 999])


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sample, noise = (torch.randn(4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    return sample, noise, SCHEDULE.add_noise(sample, noise, TIMESTEPS)


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("wanted", KINDS)
def test_the_target_of_one_kind_becomes_that_of_another(given: str, wanted: str) -> None:
    sample, noise, noisy = batch()
    made = convert(given, wanted, target_of(given, sample, noise, TIMESTEPS, SCHEDULE), noisy, TIMESTEPS, SCHEDULE)
    assert torch.allclose(made, target_of(wanted, sample, noise, TIMESTEPS, SCHEDULE), rtol=1e-8, atol=1e-8)


def test_the_velocity_is_that_of_diffusers() -> None:
    sample, noise, _ = (each.float() for each in batch())
    theirs = DDPMScheduler().get_velocity(sample, noise, TIMESTEPS)
    assert torch.allclose(target_of("v_prediction", sample, noise, TIMESTEPS, SCHEDULE), theirs, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_clean_sample_is_that_of_a_step_of_diffusers(kind: str) -> None:
    _, _, noisy = (each.float() for each in batch())
    prediction = torch.randn(4, 6)
    scheduler = DDPMScheduler(prediction_type=kind, clip_sample=False)
    ours, _ = sample_and_noise(kind, prediction, noisy, TIMESTEPS, SCHEDULE)
    for place, timestep in enumerate(TIMESTEPS):
        theirs = scheduler.step(prediction[[place]], int(timestep), noisy[[place]]).pred_original_sample
        assert torch.allclose(ours[[place]], theirs, rtol=1e-3, atol=1e-4)


def test_where_no_signal_is_left_only_the_noise_prediction_says_nothing() -> None:
    schedule, last = zero_terminal_snr(SCHEDULE), torch.tensor([999])
    sample, noise = torch.ones(1, 2), torch.full((1, 2), 0.5)
    noisy = schedule.add_noise(sample, noise, last)
    for kind in ("sample", "v_prediction"):
        target = target_of(kind, sample, noise, last, schedule)
        assert torch.allclose(sample_and_noise(kind, target, noisy, last, schedule)[0], sample)
    assert not sample_and_noise("epsilon", noise, noisy, last, schedule)[0].isfinite().any()


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_weights_are_those_of_the_error_of_the_sample(kind: str) -> None:
    """Whatever is predicted, the weighted error is min(SNR, gamma) times the squared error of the sample."""
    sample, noise, noisy = batch()
    target = target_of(kind, sample, noise, TIMESTEPS, SCHEDULE)
    wrong = target + 0.01 * torch.randn_like(target)
    guess, _ = sample_and_noise(kind, wrong, noisy, TIMESTEPS, SCHEDULE)
    weighted = min_snr_weights(kind, SCHEDULE)[TIMESTEPS] * (wrong - target).square().sum(1)
    wanted = SCHEDULE.snr().clamp(max=5)[TIMESTEPS] * (guess - sample).square().sum(1)
    assert torch.allclose(weighted, wanted, rtol=1e-6)


def test_snr_is_that_of_diffusers() -> None:
    assert torch.allclose(SCHEDULE.snr()[TIMESTEPS].float(), compute_snr(DDPMScheduler(), TIMESTEPS), rtol=1e-3)


def test_weights_are_finite_where_no_signal_is_left() -> None:
    schedule = zero_terminal_snr(SCHEDULE)
    assert [float(min_snr_weights(kind, schedule)[-1]) for kind in KINDS] == [1, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_network_has_no_loss_and_a_half_right_one_has(kind: str) -> None:
    sample, noise, _ = batch()
    target = target_of(kind, sample, noise, TIMESTEPS, SCHEDULE)
    at = {"sample": sample, "noise": noise, "timesteps": TIMESTEPS, "schedule": SCHEDULE, "kind": kind}
    assert not diffusion_loss(lambda noisy, timesteps: target, **at).any()
    half = target.clone()
    half[:, :3] = 0
    loss = diffusion_loss(lambda noisy, timesteps: half, **at)
    assert torch.allclose(loss, target[:, :3].square().sum(1) / 6)
    weights = torch.arange(1000.0)
    assert torch.allclose(diffusion_loss(lambda noisy, timesteps: half, **at, weights=weights), loss * TIMESTEPS)


def test_unknown_predictions_and_impossible_gammas_are_refused() -> None:
    sample, noise, noisy = batch()
    for call in (
        lambda: target_of("noise", sample, noise, TIMESTEPS, SCHEDULE),  # type: ignore[arg-type]
        lambda: sample_and_noise("x0", noise, noisy, TIMESTEPS, SCHEDULE),  # type: ignore[arg-type]
        lambda: min_snr_weights("velocity", SCHEDULE),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="预测类型"):
            call()
    with pytest.raises(ValueError, match="above 0"):
        min_snr_weights("epsilon", SCHEDULE, gamma=0)
