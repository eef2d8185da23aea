"""Each sampler is Diffusers' step for step, whatever is predicted and however the timesteps are spaced."""

from itertools import product

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.ddpm import DDPM
from llm_tutorial.diffusion.dpm_solver import DPMSolver
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.sampling import generate, path, perfect_network
from llm_tutorial.diffusion.schedule import Schedule, make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.spacing import levels, spaced_timesteps

KINDS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "trailing", "linspace")
STEPS = (1, 2, 5, 7, 20, 50)
LINEAR = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def of(scheduler: object) -> Schedule:
    """The very levels of a scheduler of Diffusers, which are rounded to float32."""
    schedule = Schedule(scheduler.betas)
    schedule.alphas_cumprod = scheduler.alphas_cumprod.double()
    return schedule


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def draws(steps: int, seed: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, 4, 4)
    return torch.randn(shape, generator=generator), [torch.randn(shape, generator=generator) for _ in range(steps)]


@pytest.mark.parametrize("levels_of", [LINEAR, STABLE])
@pytest.mark.parametrize(("kind", "spacing", "steps"), list(product(KINDS, SPACINGS, STEPS)))
def test_ddpm_is_diffusers(kind: str, spacing: str, steps: int, levels_of: dict) -> None:
    for variance in ("fixed_small", "fixed_large"):
        theirs = DDPMScheduler(
            **levels_of, prediction_type=kind, timestep_spacing=spacing, variance_type=variance, clip_sample=False
        )
        theirs.set_timesteps(steps)
        ours = DDPM(of(theirs), spaced_timesteps(spacing, steps), kind, variance)
        assert ours.timesteps == theirs.timesteps.tolist()
        x, predictions = draws(steps)
        for place, (timestep, prediction) in enumerate(zip(theirs.timesteps, predictions, strict=True)):
            one, other = (torch.Generator().manual_seed(place) for _ in range(2))
            reached = theirs.step(prediction, timestep, x, generator=one).prev_sample
            mine = ours.step(prediction, place, x, other)
            if place + 1 == steps and variance == "fixed_large" and timestep > 0:
                assert not close(mine, reached)  # theirs adds noise in the last step, unless that is timestep 0
            else:
                assert close(mine, reached)
            x = reached


@pytest.mark.parametrize("levels_of", [LINEAR, STABLE])
@pytest.mark.parametrize(("kind", "spacing", "steps"), list(product(KINDS, SPACINGS, STEPS)))
def test_ddim_is_diffusers(kind: str, spacing: str, steps: int, levels_of: dict) -> None:
    for eta, to_one in product((0.0, 0.5, 1.0), (True, False)):
        theirs = DDIMScheduler(
            **levels_of, prediction_type=kind, timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=to_one
        )
        theirs.set_timesteps(steps)
        assert spaced_timesteps(spacing, steps) == theirs.timesteps.tolist()
        x, predictions = draws(steps)
        for place, (timestep, prediction) in enumerate(zip(theirs.timesteps.tolist(), predictions, strict=True)):
            # Diffusers steps by a whole stride, wherever the next timestep lies
            goal = timestep - 1000 // steps
            end = "zero" if to_one else "sigma_min"
            ours = DDIM(of(theirs), [timestep, goal] if goal >= 0 else [timestep], kind, eta, end)
            one, other = (torch.Generator().manual_seed(place) for _ in range(2))
            reached = theirs.step(prediction, timestep, x, eta, generator=one).prev_sample
            assert close(ours.step(prediction, 0, x, other), reached)
            x = reached


@pytest.mark.parametrize(("spacing", "steps"), list(product(SPACINGS, STEPS)))
def test_ddim_goes_to_the_next_timestep_and_diffusers_past_it_where_strides_are_uneven(
    spacing: str, steps: int
) -> None:
    goals = [timestep - 1000 // steps for timestep in spaced_timesteps(spacing, steps)]
    following = [*spaced_timesteps(spacing, steps)[1:], -1]
    same = all(goal == then or max(goal, then) < 0 for goal, then in zip(goals, following, strict=True))
    assert same == (spacing == "leading" or steps == 1 or (spacing == "trailing" and 1000 % steps == 0))


@pytest.mark.parametrize("levels_of", [LINEAR, STABLE])
@pytest.mark.parametrize(("kind", "spacing", "steps"), list(product(KINDS, SPACINGS, STEPS)))
def test_the_solver_is_diffusers(kind: str, spacing: str, steps: int, levels_of: dict) -> None:
    for order, final in product((1, 2), ("zero", "sigma_min")):
        theirs = DPMSolverMultistepScheduler(
            **levels_of, prediction_type=kind, timestep_spacing=spacing, solver_order=order, final_sigmas_type=final
        )
        theirs.set_timesteps(steps)
        ours = DPMSolver(of(theirs), spaced_timesteps(spacing, steps, skip_zero=True), kind, order, final)
        assert ours.timesteps == theirs.timesteps.tolist()
        x, predictions = draws(steps)
        for place, (timestep, prediction) in enumerate(zip(theirs.timesteps, predictions, strict=True)):
            reached = theirs.step(prediction, timestep, x).prev_sample
            assert close(ours.step(prediction, place, x), reached)
            x = reached
