# %% setup
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.ddpm import DDPM
from llm_tutorial.diffusion.dpm_solver import DPMSolver
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.sampling import generate, path, perfect_network
from llm_tutorial.diffusion.schedule import Schedule, make_schedule
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.plotting import COLOURS, INK, legend, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
islands = three_islands()
schedule = make_schedule("linear", 1000, 1e-4, 0.02)  # DDPM's
a = schedule.alphas_cumprod.sqrt().float()
sigma = (1 - a**2).sqrt()

# %% paths
network = perfect_network(islands, schedule)  # predicts the best guess of the noise
start = torch.randn(12, 2)
ways = {
    "DDPM, 100 steps": DDPM(schedule, spaced_timesteps("trailing", 100)),
    "DDIM, 100 steps": DDIM(schedule, spaced_timesteps("trailing", 100)),
    "DDIM, 5 steps": DDIM(schedule, spaced_timesteps("trailing", 5)),
}
walks = {
    name: torch.stack(list(path(network, sampler, start)))
    for name, sampler in ways.items()
}
fine = (torch.arange(64) + 0.5) / 10 - 3.2
density = islands.log_density(torch.cartesian_prod(fine, fine)).exp().reshape(64, 64)
figure, axes = panels(3, height=2.8)
for panel, (name, walk) in zip(axes, walks.items(), strict=True):
    panel.imshow(density.T.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2)
    panel.plot(*walk.permute(2, 0, 1), color=COLOURS[1], marker="", lw=0.7)
    panel.plot(*walk[-1].T, "o", color=COLOURS[1], markersize=3)
    panel.set(title=name, xticks=[], yticks=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    panel.grid(visible=False)
plt.show()


# %% step
def step(x, guess, now, then, eta=0.0):  # levels: (a, sigma)
    (a_t, sigma_t), (a_s, sigma_s) = now, then
    noise = (x - a_t * guess) / sigma_t
    tau = eta * sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5  # (3)
    fresh = tau * torch.randn_like(x)
    return a_s * guess + (sigma_s**2 - tau**2) ** 0.5 * noise + fresh  # (2)


# %% same_marginal
x0 = torch.full((200_000,), 1.5)
x_t = a[700] * x0 + sigma[700] * torch.randn(200_000)
for eta in (
    0.0,
    0.5,
    1.0,
):  # the guess is right: whatever eta, x_s is what it should be
    x_s = step(x_t, x0, (a[700], sigma[700]), (a[300], sigma[300]), eta)
    assert abs(x_s.mean() - a[300] * 1.5) < 0.01
    assert abs(x_s.std() - sigma[300]) < 0.01

# %% posterior
x, guess = torch.randn(2, 5)  # any numbers
for t in (1, 300, 999):  # eta = 1, here for strides of one: DDPM's posterior
    torch.manual_seed(0)
    ours = step(x, guess, (a[t], sigma[t]), (a[t - 1], sigma[t - 1]), eta=1.0)
    torch.manual_seed(0)
    mean, variance = schedule.posterior(guess[None], x[None], torch.tensor([t]))
    posterior = mean[0] + variance[0].sqrt() * torch.randn(5)
    assert torch.allclose(ours, posterior, atol=1e-3)

# %% loop
timesteps = spaced_timesteps("trailing", 20)  # 999, 949, …, 49
levels = [(a[t], sigma[t]) for t in timesteps] + [(1.0, 0.0)]
x = start
for t, now, then in zip(timesteps, levels[:-1], levels[1:], strict=True):
    epsilon = network(x, torch.tensor(t))
    guess = (x - now[1] * epsilon) / now[0]
    x = step(x, guess, now, then)
assert torch.allclose(x, generate(network, DDIM(schedule, timesteps), start), atol=1e-3)

# %% continuity
kappa, tiny = 0.7, 1e-3  # y = x / a is x0 + kappa * noise: levels 1 and kappa
y = torch.randn(500, 2, dtype=torch.float64)


def density_at(y, kappa):
    return islands.log_density(y, 1.0, kappa).exp()


def flux(y):  # density times epsilon, the direction of the ODE
    return density_at(y, kappa)[:, None] * -kappa * islands.score(y, 1.0, kappa)


rate = (density_at(y, kappa + tiny) - density_at(y, kappa - tiny)) / (2 * tiny)
divergence = sum(
    (flux(y + tiny * axis)[:, i] - flux(y - tiny * axis)[:, i]) / (2 * tiny)
    for i, axis in enumerate(torch.eye(2, dtype=torch.float64))
)
assert torch.allclose(rate, -divergence, atol=1e-5)
assert rate.abs().max() > 0.01  # it is not that nothing happens


# %% two_m
def second_order(x, guess, before, h, h_before, now, then):
    (_, sigma_t), (a_s, sigma_s) = now, then
    mid = guess + h / (2 * h_before) * (guess - before)  # extrapolated to mid-step (11)
    return sigma_s / sigma_t * x + a_s * (1 - torch.exp(-h)) * mid  # (10)


log_snr = (a / sigma).log()  # lambda
x, before = start, None
for place, (t, now, then) in enumerate(
    zip(timesteps, levels[:-1], levels[1:], strict=True)
):
    guess = (x - now[1] * network(x, torch.tensor(t))) / now[0]
    if (
        0 < place < 19
    ):  # the first step has nothing before it, in the last h is infinite
        h = log_snr[timesteps[place + 1]] - log_snr[t]
        h_before = log_snr[t] - log_snr[timesteps[place - 1]]
        x = second_order(x, guess, before, h, h_before, now, then)
    else:
        x = step(x, guess, now, then)
    before = guess
solver = DPMSolver(schedule, timesteps)
assert torch.allclose(x, generate(network, solver, start), atol=1e-3)


# %% order
def evenly(n):  # a chain of n + 1 levels, lambda from -4 to 4 in even strides
    left = torch.sigmoid(2 * torch.linspace(4, -4, n + 1, dtype=torch.float64))
    return Schedule(1 - torch.cat([left[:1], left[1:] / left[:-1]]))


def solve(solver, n):
    chain = evenly(n)
    sampler = solver(chain, range(n, 0, -1), final="sigma_min")  # ends at lambda = 4
    return generate(perfect_network(islands, chain), sampler, many)


many = torch.randn(300, 2, dtype=torch.float64)
truth = solve(DPMSolver, 4096)
counts = [16, 32, 64, 128, 256, 512]
errors = {
    name: [(solve(solver, n) - truth).norm(dim=1).median().item() for n in counts]
    for name, solver in (("DDIM", DDIM), ("DPM-Solver++(2M)", DPMSolver))
}
slopes = {}
for name, row in errors.items():
    x, y = torch.tensor(counts).log(), torch.tensor(row).log()
    slopes[name] = -(((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum()).item()
assert 0.9 < slopes["DDIM"] < 1.1
assert 1.8 < slopes["DPM-Solver++(2M)"] < 2.3

# %% order_figure
figure, (axes,) = panels()
for name, row in errors.items():
    axes.plot(counts, row, label=name)
axes.set(xscale="log", yscale="log", xlabel="steps", title="error of a point")
axes.set_xticks(counts, [str(n) for n in counts], minor=False)
axes.minorticks_off()
legend(axes)
plt.show()

# %% order_values values
print(f"slope_ddim = {slopes['DDIM']:.2f}")
print(f"slope_2m = {slopes['DPM-Solver++(2M)']:.2f}")
print(f"error_2m_64 = {1000 * errors['DPM-Solver++(2M)'][2]:.1f}")  # tolerance 10%
print(f"error_ddim_512 = {1000 * errors['DDIM'][-1]:.1f}")  # tolerance 10%

# %% spacings
rows = {}
for spacing in ("leading", "trailing", "linspace"):
    for note, skip in (("", False), (", DPM-Solver's", True)):
        if not (spacing == "trailing" and skip):  # there both are alike
            visited = spaced_timesteps(spacing, 5, skip_zero=skip)
            rows[spacing + note] = [*map(str, visited), f"{a[visited[0]]:.3f}"]
heads = ["", *(f"step {n}" for n in range(1, 6)), "signal at the start"]
table(rows, heads).show()

# %% same_as_diffusers
kinds = ("epsilon", "sample", "v_prediction")
spacings = ("leading", "trailing", "linspace")
compared = 0
for kind in kinds:
    for spacing in spacings:
        said = {"prediction_type": kind, "timestep_spacing": spacing}
        theirs_and_ours = [
            (DDPMScheduler(**said, clip_sample=False), DDPM, False),
            (DPMSolverMultistepScheduler(**said), DPMSolver, True),
        ]
        if spacing != "linspace":  # where DDIMScheduler has a fault: see the next cell
            theirs_and_ours.append(
                (DDIMScheduler(**said, clip_sample=False), DDIM, False)
            )
        for theirs, cls, skip in theirs_and_ours:
            theirs.set_timesteps(20)
            rounded = Schedule(theirs.betas)
            rounded.alphas_cumprod = theirs.alphas_cumprod.double()  # to float32
            ours = cls(rounded, spaced_timesteps(spacing, 20, skip_zero=skip), kind)
            assert ours.timesteps == theirs.timesteps.tolist()
            x = torch.randn(4, 3, 8, 8)
            for place, t in enumerate(theirs.timesteps):
                prediction = torch.randn_like(x)  # of a network that knows nothing
                torch.manual_seed(place)
                after = theirs.step(prediction, t, x).prev_sample
                torch.manual_seed(place)
                mine = ours.step(prediction, place, x)
                assert torch.allclose(mine, after, rtol=1e-5, atol=1e-5)
                x, compared = after, compared + 1
assert compared == 20 * 3 * (3 + 3 + 2)

# %% uneven
rows = {}
for spacing, steps in (("linspace", 5), ("trailing", 60)):
    scheduler = DDIMScheduler(timestep_spacing=spacing, clip_sample=False)
    scheduler.set_timesteps(steps)
    visited = [*scheduler.timesteps.tolist(), -1]  # below 0: the clean sample
    for now, told in list(pairwise(visited))[-3:]:
        goal = now - 1000 // steps  # as its `step` computes it
        rows[f"{spacing}, {steps} steps, from {now}"] = [
            "clean" if place < 0 else str(place) for place in (goal, told)
        ]
table(rows, ["DDIMScheduler", "steps to", "should step to"]).show()

# %% swap
said = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "prediction_type": "v_prediction", "timestep_spacing": "leading",
    "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False,
}  # fmt: skip
config = DDIMScheduler(**said).config  # in a pipeline: pipe.scheduler.config
swapped = DPMSolverMultistepScheduler.from_config(
    config, timestep_spacing="trailing"
)  # keeps what belongs to the network, replaces what we say
assert swapped.config.prediction_type == "v_prediction"
assert torch.equal(swapped.betas, DDIMScheduler(**said).betas)
assert (
    swapped.config.final_sigmas_type == "zero"
)  # set_alpha_to_one is not carried over
swapped.set_timesteps(5)
print(swapped.timesteps.tolist())

# %% final_values values
least = schedule.noise(torch.tensor([0])).item()
print(f"final_linear = {least:.3f}")
print(f"at_49 = {schedule.noise(torch.tensor([49])).item():.2f}")
print(f"final_stable = {make_schedule().noise(torch.tensor([0])).item():.3f}")
