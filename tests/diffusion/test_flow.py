"""The straight path is the path of a schedule, its sampler Diffusers', and its loss has the mean velocity as minimum."""

import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from llm_tutorial.data.shapes import scenes
from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.flow import FlowEuler, flow_fractions, flow_generate, flow_path, shifted
from llm_tutorial.diffusion.losses import target_of
from llm_tutorial.diffusion.mixture import Mixture, three_islands
from llm_tutorial.diffusion.sampling import generate, perfect_network
from llm_tutorial.diffusion.schedule import Schedule, make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.small_shapes import (
    OPEN,
    ShapeNetwork,
    adherence,
    as_inputs,
    as_pictures,
    drawn,
    load_network,
    save_network,
    without_place,
    word_ids,
)
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.diffusion.straight import (
    as_flow,
    flow_loss,
    flow_network,
    fractions_of,
    logit_normal,
    on_line,
    perfect_velocity,
    place_of,
)

SCHEDULES = {"stable": make_schedule(), "zero": zero_terminal_snr(make_schedule())}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("steps", [1, 2, 5, 28, 50])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("levels", ["even", "diffusers"])
def test_the_sampler_is_diffusers(steps: int, shift: float, levels: str) -> None:
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    if levels == "even":
        theirs.set_timesteps(sigmas=flow_fractions(steps))
    else:
        theirs.set_timesteps(steps)
    ours = FlowEuler(flow_fractions(steps, shift, levels))
    assert torch.allclose(theirs.sigmas, torch.tensor(ours.fractions), atol=1e-6)
    z = torch.randn(2, 3, 4, 4, generator=generator())
    for place, timestep in enumerate(theirs.timesteps):
        prediction = torch.randn(z.shape, generator=generator(place))
        reached = theirs.step(prediction, timestep, z).prev_sample
        assert torch.allclose(ours.step(prediction, place, z), reached, atol=1e-5)
        z = reached
    assert len(ours) == steps


def test_the_dynamic_shift_of_diffusers_is_ours_with_the_exponential() -> None:
    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=flow_fractions(6), mu=1.15)
    assert torch.allclose(theirs.sigmas[:-1], torch.tensor(flow_fractions(6, math.exp(1.15))), atol=1e-5)


def test_a_shift_multiplies_noise_over_signal() -> None:
    for fraction in (0.01, 0.4, 0.9):
        moved = shifted(fraction, 3.0)
        assert moved / (1 - moved) == pytest.approx(3 * fraction / (1 - fraction))
    assert shifted(1.0, 1 / 3) == 1
    assert shifted(shifted(0.3, 3.0), 1 / 3) == pytest.approx(0.3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_noisy_sample_of_a_schedule_lies_on_the_line(name: str) -> None:
    schedule = SCHEDULES[name]
    clean, noise = torch.randn(2, 5, 3, generator=generator())
    timesteps = torch.tensor([0, 10, 500, 998, 999])
    for kind in ("epsilon", "sample", "v_prediction"):
        if name == "zero" and kind == "epsilon":
            continue  # where no signal is left the noise says nothing of the sample
        noisy = schedule.add_noise(clean, noise, timesteps)
        prediction = target_of(kind, clean, noise, timesteps, schedule)
        z, fraction, velocity = as_flow(kind, prediction, noisy, timesteps, schedule)
        assert torch.allclose(z, on_line(clean, noise, fraction), atol=1e-5)
        assert torch.allclose(velocity, noise - clean, atol=1e-3)
        assert torch.allclose(fraction, fractions_of(schedule)[timesteps])


def test_ddim_is_euler_on_the_straight_path() -> None:
    islands, schedule = three_islands(), SCHEDULES["zero"]
    start = torch.randn(200, 2, generator=generator())
    for steps in (2, 7, 30):
        timesteps = spaced_timesteps("trailing", steps)
        network = perfect_network(islands, schedule, "v_prediction")
        by_ddim = generate(network, DDIM(schedule, timesteps, "v_prediction"), start)
        sampler = FlowEuler(fractions_of(schedule)[timesteps].tolist())
        by_flow = flow_generate(perfect_velocity(islands), sampler, start)
        assert torch.allclose(by_ddim, by_flow, atol=1e-3)
        wrong = FlowEuler(flow_fractions(steps))
        assert not torch.allclose(by_ddim, flow_generate(perfect_velocity(islands), wrong, start), atol=1e-2)


def test_the_perfect_velocity_is_the_mean_of_the_lines() -> None:
    islands, fraction = three_islands(), torch.tensor(0.6)
    clean = islands.sample(400_000, generator())
    noise = torch.randn(clean.shape, generator=generator(1))
    z = on_line(clean, noise, fraction.expand(len(clean)))
    off = noise - clean - perfect_velocity(islands)(z, fraction)
    for test_function in (z, z.sin(), z.square()):
        assert (off * test_function).mean().abs() < 0.01
    backwards = noise - clean + perfect_velocity(islands)(z, fraction)
    assert (backwards * z).mean().abs() > 0.1


def test_flow_loss_is_least_at_the_perfect_velocity() -> None:
    islands = three_islands()
    batch = islands.sample(4000, generator()), torch.randn(4000, 2, generator=generator(1))
    fraction = torch.rand(4000, generator=generator(2))
    perfect = perfect_velocity(islands)
    best = flow_loss(perfect, *batch, fraction).mean()
    for wrong in (
        lambda z, f: -perfect(z, f),
        lambda z, f: perfect(z, 1 - f),
        lambda z, f: perfect(z, f) + 0.1,
        lambda z, f: 0.9 * perfect(z, f),
    ):
        assert flow_loss(wrong, *batch, fraction).mean() > best


def test_one_gaussian_is_followed_to_its_width() -> None:
    narrow = Mixture(torch.ones(1), torch.tensor([[2.0]]), torch.tensor([0.5]))
    start = torch.randn(4000, 1, generator=generator())
    ends = flow_generate(perfect_velocity(narrow), FlowEuler(flow_fractions(200)), start)
    assert torch.allclose(ends, 2 + 0.5 * start, atol=0.05)


def test_a_network_of_a_schedule_gives_the_same_samples_once_converted() -> None:
    islands, schedule = three_islands(), SCHEDULES["zero"]
    of_timestep = perfect_network(islands, schedule, "v_prediction")
    converted = flow_network(lambda x, t: of_timestep(x, t.round().long()), schedule)
    z, fraction = torch.randn(300, 2, generator=generator()), fractions_of(schedule)[[3, 400, 990]]
    for share in fraction:
        assert torch.allclose(converted(z, share), perfect_velocity(islands)(z, share), atol=1e-4)


def test_places_between_timesteps_are_passed_on() -> None:
    asked: list[float] = []

    def network(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        asked.append(float(timestep))
        return torch.zeros_like(x)

    known = fractions_of(SCHEDULES["stable"])
    flow_network(network, SCHEDULES["stable"])(torch.zeros(1, 2), (known[3] + known[4]) / 2)
    assert asked[0] == pytest.approx(3.5, abs=1e-4)
    assert place_of(torch.tensor([2.0]), torch.tensor([0.0, 1.0])).item() == 1


def test_logit_normal_fractions_lie_inside_and_have_their_mean() -> None:
    drawn_shares = logit_normal(50_000, mean=1.0, std=0.5, generator=generator())
    assert drawn_shares.min() > 0
    assert drawn_shares.max() < 1
    logits = drawn_shares.logit()
    assert logits.mean() == pytest.approx(1, abs=0.02)
    assert logits.std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.2, 0.4], [1.1, 0.5], [0.5, 0.0], [float("nan")]])
def test_impossible_fractions_are_refused_in_both_languages(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match=r"(?s)fractions of noise fall.*噪声的份额"):
        FlowEuler(fractions)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        flow_fractions(0)
    with pytest.raises(ValueError, match="shift is above 0"):
        flow_fractions(5, shift=0)
    with pytest.raises(ValueError, match="levels are even or diffusers"):
        flow_fractions(5, levels="trailing")
    sampler = FlowEuler([1.0])
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        sampler.step(torch.zeros(1, 3), 0, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="1 is none of them"):
        sampler.step(torch.zeros(1, 2), 1, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="unknown prediction"):
        as_flow("flow", torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), Schedule(torch.tensor([0.1])))


def test_a_path_begins_with_its_start() -> None:
    start = torch.randn(3, 2, generator=generator())
    ways = list(flow_path(lambda z, f: torch.ones_like(z), FlowEuler(flow_fractions(4)), start))
    assert len(ways) == 5
    assert ways[0] is start
    assert torch.allclose(ways[-1], start - 1)


def test_pictures_survive_the_way_to_the_network_and_back() -> None:
    asked = scenes(6, things=1)
    pictures = drawn(asked)
    inputs = as_inputs(pictures)
    assert inputs.shape == (6, 3, 16, 16)
    assert np.array_equal(as_pictures(inputs), pictures)
    assert adherence(pictures, asked)["all"] == 1
    assert adherence(pictures[::-1], asked)["all"] < 1
    assert adherence(pictures, without_place(asked)).keys() == {"count", "colour", "shape", "all"}
    assert word_ids(without_place(asked))[:, 2:].eq(OPEN).all()


def test_a_network_comes_back_from_its_file(tmp_path) -> None:
    torch.manual_seed(0)
    network = ShapeNetwork().eval()
    save_network(network, tmp_path / "here")
    inputs = torch.randn(2, 3, 16, 16), torch.tensor(300.0), torch.zeros(2, 4).long()
    with torch.no_grad():
        assert torch.allclose(load_network(tmp_path / "here")(*inputs), network(*inputs), atol=0.05)
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path)
