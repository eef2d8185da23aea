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
from llm_tutorial.diffusion.spacing import levels, log_snr_timesteps, spaced_timesteps

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


def test_timesteps_of_ones_own_are_taken_by_diffusers_too() -> None:
    schedule = make_schedule("linear", 1000, 1e-4, 0.02)
    timesteps = log_snr_timesteps(schedule, 20)
    for theirs, cls in (
        (DDPMScheduler(**LINEAR, clip_sample=False), DDPM),
        (DPMSolverMultistepScheduler(**LINEAR), DPMSolver),
    ):
        theirs.set_timesteps(timesteps=timesteps)
        ours = cls(of(theirs), timesteps)
        x, predictions = draws(20)
        for place, (timestep, prediction) in enumerate(zip(theirs.timesteps, predictions, strict=True)):
            one, other = (torch.Generator().manual_seed(place) for _ in range(2))
            reached = theirs.step(prediction, timestep, x, generator=one).prev_sample
            # where nearly no noise is left, float32 of Diffusers loses digits of 1 - alphas_cumprod
            assert torch.allclose(ours.step(prediction, place, x, other), reached, rtol=1e-4, atol=1e-5)


def test_zero_terminal_snr_is_diffusers_with_its_floor() -> None:
    theirs = DPMSolverMultistepScheduler(
        **STABLE, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"
    )
    theirs.set_timesteps(20)
    ours = DPMSolver(of(theirs), spaced_timesteps("trailing", 20), "v_prediction")
    exact = DPMSolver(zero_terminal_snr(make_schedule()), spaced_timesteps("trailing", 20), "v_prediction")
    x, predictions = draws(20)
    for place, (timestep, prediction) in enumerate(zip(theirs.timesteps, predictions, strict=True)):
        reached = theirs.step(prediction, timestep, x).prev_sample
        assert close(ours.step(prediction, place, x), reached)
        assert torch.allclose(exact.step(prediction, place, x), reached, rtol=1e-2, atol=1e-2)  # without a floor
        x = reached


def test_without_noise_first_order_ddpm_and_ddim_are_one() -> None:
    """DDIM with eta = 1 is DDPM; the solver of first order is DDIM with eta = 0."""
    schedule, timesteps = make_schedule(), spaced_timesteps("trailing", 10)
    x, predictions = draws(10)
    pairs = (
        (DDPM(schedule, timesteps), DDIM(schedule, timesteps, eta=1.0)),
        (DPMSolver(schedule, timesteps, order=1), DDIM(schedule, timesteps)),
    )
    for one, other in pairs:
        for place in range(10):
            made = [each.step(predictions[place], place, x, torch.Generator().manual_seed(1)) for each in (one, other)]
            assert torch.allclose(*made, atol=1e-4)


@pytest.mark.parametrize(("cls", "order"), [(DDIM, 1), (DPMSolver, 2)])
def test_the_error_falls_with_the_order(cls: type, order: int) -> None:
    start = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def solve(solver: type, steps: int) -> torch.Tensor:
        left = torch.sigmoid(2 * torch.linspace(4, -4, steps + 1, dtype=torch.float64))
        chain = Schedule(1 - torch.cat([left[:1], left[1:] / left[:-1]]))
        return generate(
            perfect_network(three_islands(), chain), solver(chain, range(steps, 0, -1), final="sigma_min"), start
        )

    truth = solve(DPMSolver, 2048)
    coarse, fine = ((solve(cls, steps) - truth).norm(dim=1).median() for steps in (64, 128))
    assert order - 0.2 < (coarse / fine).log2() < order + 0.3


def test_a_right_guess_has_the_right_marginal_whatever_eta() -> None:
    schedule, generator = make_schedule(), torch.Generator().manual_seed(0)
    clean = torch.full((100_000, 1), 1.5)
    noisy = schedule.add_noise(clean, torch.randn(clean.shape, generator=generator), torch.tensor([700]))
    for eta in (0.0, 0.6, 1.0):
        reached = DDIM(schedule, [700, 300], "sample", eta).step(clean, 0, noisy, generator)
        level = schedule.signal(torch.tensor([300])), schedule.noise(torch.tensor([300]))
        assert abs(reached.mean() - 1.5 * level[0]) < 0.01
        assert abs(reached.std() - level[1]) < 0.01


def test_one_start_gives_one_sample_without_noise_and_many_with() -> None:
    schedule = make_schedule()
    network, start = perfect_network(three_islands(), schedule), torch.randn(8, 2)
    for eta in (0.0, 1.0):
        sampler = DDIM(schedule, spaced_timesteps("trailing", 10), eta=eta)
        once, again = (generate(network, sampler, start) for _ in range(2))
        assert torch.equal(once, again) == (eta == 0)
        seeded = [generate(network, sampler, start, torch.Generator().manual_seed(3)) for _ in range(2)]
        assert torch.equal(*seeded)


def test_a_solver_can_be_used_again() -> None:
    schedule = make_schedule()
    network, start = perfect_network(three_islands(), schedule), torch.randn(8, 2)
    sampler = DPMSolver(schedule, spaced_timesteps("trailing", 10))
    first = generate(network, sampler, start)
    generate(network, sampler, torch.randn(5, 2))  # another batch between
    assert torch.equal(generate(network, sampler, start), first)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(half: torch.dtype) -> None:
    schedule = make_schedule()
    network, start = perfect_network(three_islands(), schedule, "v_prediction"), torch.randn(50, 2)
    for cls in (DDPM, DDIM, DPMSolver):
        sampler = cls(schedule, spaced_timesteps("trailing", 20), "v_prediction")
        points = generate(network, sampler, start.to(half))
        assert points.dtype == half
        assert points.isfinite().all()
        if cls is not DDPM:
            assert (points.float() - generate(network, sampler, start)).abs().median() < 0.1


def test_the_path_has_every_stop() -> None:
    schedule = make_schedule()
    network, start = perfect_network(three_islands(), schedule), torch.randn(3, 2)
    sampler = DDIM(schedule, spaced_timesteps("leading", 7))
    walk = list(path(network, sampler, start))
    assert len(walk) == 8
    assert torch.equal(walk[0], start)
    assert torch.equal(walk[-1], generate(network, sampler, start))


def test_levels_end_at_the_clean_sample_or_at_the_first_timestep() -> None:
    schedule = make_schedule()
    assert levels(schedule, [999, 0])[1][-1] == 0
    assert levels(schedule, [999], "sigma_min")[1][-1] == float(schedule.noise(torch.tensor([0])))


def test_log_snr_timesteps_are_even_and_apart() -> None:
    for schedule in (make_schedule("linear", 1000, 1e-4, 0.02), zero_terminal_snr(make_schedule())):
        for steps in (1, 2, 10, 100, 999, 1000):
            timesteps = log_snr_timesteps(schedule, steps)
            assert len(set(timesteps)) == steps
            assert timesteps == sorted(timesteps, reverse=True)
            assert timesteps[0] == 999
    visited = log_snr_timesteps(make_schedule("linear", 1000, 1e-4, 0.02), 10)
    gaps = make_schedule("linear", 1000, 1e-4, 0.02).snr()[visited].log().diff()
    assert gaps.max() < 1.5 * gaps.min()


@pytest.mark.parametrize("steps", [0, -1, 1001])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_impossible_numbers_of_steps_are_refused_in_both_languages(spacing: str, steps: int) -> None:
    with pytest.raises(ValueError, match=r"from 1 to 1000 steps(.|\n)*步数应在"):
        spaced_timesteps(spacing, steps)
    with pytest.raises(ValueError, match="步数应在"):
        log_snr_timesteps(make_schedule(), steps)


def test_the_solver_needs_one_timestep_more() -> None:
    with pytest.raises(ValueError, match="from 1 to 999 steps"):
        spaced_timesteps("linspace", 1000, skip_zero=True)


def test_other_bad_input_is_refused_in_both_languages() -> None:
    schedule, x = make_schedule(), torch.zeros(2, 3, 4, 4)
    for call, said in (
        (lambda: spaced_timesteps("even", 10), "没有名为 'even' 的间隔方式"),  # type: ignore[arg-type]
        (lambda: spaced_timesteps("leading", 1000, offset=1), "偏移 1"),
        (lambda: DDIM(schedule, []), "时间步应逐个减小"),
        (lambda: DDIM(schedule, [5, 5]), "时间步应逐个减小"),
        (lambda: DDIM(schedule, [0, 999]), "时间步应逐个减小"),
        (lambda: DDIM(schedule, [1000, 0]), "时间步应逐个减小"),
        (lambda: DDIM(schedule, [999, -1]), "时间步应逐个减小"),
        (lambda: DDIM(schedule, [999], eta=1.5), "eta 应在 0 到 1 之间"),
        (lambda: DDIM(schedule, [999], final="one"), "终点应为"),  # type: ignore[arg-type]
        (lambda: DDPM(schedule, [999], variance="learned"), "没有名为 'learned' 的方差"),  # type: ignore[arg-type]
        (lambda: DPMSolver(schedule, [999], order=3), "阶数应为 1 或 2"),
        (lambda: DDIM(schedule, [999]).step(torch.zeros(2, 6, 4, 4), 0, x), "只留前一半"),
        (lambda: DDIM(schedule, [999]).step(x, 1, x), "没有第 1 步"),
        (lambda: DDIM(schedule, [999], "noise").step(x, 0, x), "没有名为 'noise' 的预测类型"),  # type: ignore[arg-type]
        (lambda: DPMSolver(schedule, [999, 0]).step(x, 1, x), "第 0 步"),
        (lambda: DDIM(zero_terminal_snr(schedule), [999, 0]), "零终端信噪比"),
    ):
        with pytest.raises(ValueError, match="(?s)[a-z].*\n.*" + said):
            call()


@pytest.mark.parametrize("pair", [(999, 998), (700, 300), (999, 49)])
def test_a_stride_of_any_length_is_the_posterior(pair: tuple) -> None:
    """Among 400,000 chains that pass near one place at t, those at s have the mean and the deviation of the step."""
    schedule, generator = make_schedule("linear", 1000, 1e-4, 0.02), torch.Generator().manual_seed(0)
    clean, (t, s) = 1.5, pair
    (a_t, a_s), (sigma_t, sigma_s) = (level[:2] for level in levels(schedule, [t, s]))
    before = a_s * clean + sigma_s * torch.randn(400_000, generator=generator)
    alpha = (a_t / a_s) ** 2
    after = alpha**0.5 * before + (1 - alpha) ** 0.5 * torch.randn(400_000, generator=generator)
    place = a_t * clean + 0.5 * sigma_t
    near = before[(after - place).abs() < 0.05]
    x = torch.full((100_000, 1), place)
    step = DDPM(schedule, [t, s], "sample").step(torch.full_like(x, clean), 0, x, generator)
    assert abs(step.mean() - near.mean()) < 0.03
    assert abs(step.std() - near.std()) < 0.03
