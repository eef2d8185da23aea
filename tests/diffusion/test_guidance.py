"""Guidance is Diffusers' own, with and without rescaling."""

import pytest
import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg

from llm_tutorial.diffusion.guidance import guided
from llm_tutorial.diffusion.losses import convert
from llm_tutorial.diffusion.schedule import make_schedule


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    one, other = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return one, 2 * other


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0, 7.5])
@pytest.mark.parametrize("rescale", [0.0, 0.5, 0.7, 1.0])
def test_it_is_diffusers(scale: float, rescale: float) -> None:
    one, other = pair()
    theirs = rescale_noise_cfg(other + scale * (one - other), one, guidance_rescale=rescale)
    assert torch.allclose(guided(one, other, scale, rescale), theirs, atol=1e-5)


def test_scales_of_nought_and_one_take_one_side() -> None:
    one, other = pair()
    assert torch.equal(guided(one, other, 0.0), other)
    assert torch.allclose(guided(one, other, 1.0), one, atol=1e-5)


def test_rescaled_fully_it_has_the_deviation_of_the_conditional_one() -> None:
    one, other = pair()
    full = guided(one, other, 7.5, 1.0)
    assert torch.allclose(full.std((1, 2, 3)), one.std((1, 2, 3)), rtol=1e-4)
    half = guided(one, other, 7.5, 0.5).std((1, 2, 3))
    assert bool((half > 1.1 * one.std((1, 2, 3))).all())


def test_without_rescaling_the_kind_of_prediction_does_not_matter() -> None:
    schedule, at = make_schedule(), torch.tensor([500])
    one, other = (each[:1] for each in pair())
    x = torch.randn_like(one)
    as_velocity = [convert("epsilon", "v_prediction", each, x, at, schedule) for each in (one, other)]
    back = convert("v_prediction", "epsilon", guided(*as_velocity, 5.0), x, at, schedule)
    assert torch.allclose(back, guided(one, other, 5.0), atol=1e-4)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(half: torch.dtype) -> None:
    one, other = (each.to(half) for each in pair())
    assert guided(one, other, 7.5, 0.7).dtype == half
    assert guided(one, other, 7.5, 0.7).isfinite().all()


def test_a_prediction_without_spread_is_no_division_by_zero() -> None:
    assert guided(torch.zeros(1, 4), torch.zeros(1, 4), 3.0, 1.0).isfinite().all()


def test_bad_input_is_refused_in_both_languages() -> None:
    with pytest.raises(ValueError, match=r"(?s)differ in shape.*形状不同"):
        guided(torch.zeros(2, 4), torch.zeros(1, 4), 2.0)
    with pytest.raises(ValueError, match=r"(?s)from 0 to 1.*应在 0 到 1 之间"):
        guided(torch.zeros(1, 4), torch.zeros(1, 4), 2.0, 1.5)
