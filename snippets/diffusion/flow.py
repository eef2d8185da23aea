# %% setup
import matplotlib.pyplot as plt
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.distances import kl_to_density
from llm_tutorial.diffusion.flow import (
    FlowEuler,
    flow_fractions,
    flow_generate,
    flow_path,
    shifted,
)
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.sampling import generate, path, perfect_network
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.diffusion.straight import as_flow, fractions_of, perfect_velocity
from llm_tutorial.plotting import COLOURS, GREY, INK, label_lines, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
islands = three_islands()
schedule = zero_terminal_snr(make_schedule())  # Stable Diffusion's, ends in pure noise
a = schedule.alphas_cumprod.sqrt().float()
sigma = (1 - a**2).sqrt()

# %% two_paths
x0, noise = islands.sample(14), torch.randn(14, 2)
share = torch.linspace(1, 0, 101)[:, None, None]
lines = (1 - share) * x0 + share * noise  # (moments, points, 2)
flow = FlowEuler(flow_fractions(100))
curves = torch.stack(list(flow_path(perfect_velocity(islands), flow, noise)))
wheel = torch.stack(
    list(
        path(
            perfect_network(islands, schedule, "v_prediction"),
            DDIM(schedule, spaced_timesteps("trailing", 100), "v_prediction"),
            noise,
        )
    )
)
fine = (torch.arange(64) + 0.5) / 10 - 3.2
density = islands.log_density(torch.cartesian_prod(fine, fine)).exp().reshape(64, 64)
titles = ("pairs, straight", "the flow, straight clock", "the flow, schedule's clock")
figure, axes = panels(3, height=2.8)
for panel, title, ways in zip(axes, titles, (lines, curves, wheel), strict=True):
    panel.imshow(density.T.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2)
    panel.plot(*ways.permute(2, 0, 1), color=COLOURS[1], marker="", lw=0.7)
    panel.plot(*ways[0].T, "o", color=GREY, markersize=2)
    panel.plot(*ways[-1].T, "o", color=COLOURS[1], markersize=3)
    panel.set(title=title, xticks=[], yticks=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    panel.grid(visible=False)
plt.show()

# %% same_path
f = sigma / (a + sigma)  # the other clock
x0, noise = islands.sample(1000), torch.randn(1000, 2)
for t in (0, 500, 999):
    x = a[t] * x0 + sigma[t] * noise
    z = (1 - f[t]) * x0 + f[t] * noise
    assert torch.allclose(x / (a[t] + sigma[t]), z, atol=1e-5)  # (2)

# %% conversions
t = 500
x, z, u = a[t] * x0 + sigma[t] * noise, (1 - f[t]) * x0 + f[t] * noise, noise - x0
v = a[t] * noise - sigma[t] * x0
assert torch.allclose(z - f[t] * u, x0, atol=1e-5)  # (3)
assert torch.allclose(z + (1 - f[t]) * u, noise, atol=1e-5)
assert torch.allclose((noise - z) / (1 - f[t]), u, atol=1e-4)  # (4)
assert torch.allclose((z - x0) / f[t], u, atol=1e-4)
assert torch.allclose((sigma[t] - a[t]) * x + (a[t] + sigma[t]) * v, u, atol=1e-4)

# %% mean_velocity
mean = perfect_velocity(islands)(z, f[t])
score = islands.score(z, 1 - f[t], f[t])
assert torch.allclose(mean, -(z + f[t] * score) / (1 - f[t]), atol=1e-4)  # (6)

many, other = islands.sample(400_000).double(), torch.randn(400_000, 2).double()
at = (1 - f[t]) * many + f[t] * other
known = perfect_velocity(islands)(at, f[t])
for g in (at, at.sin(), at**2, at.roll(1, dims=1)):  # any function of z
    assert ((other - many - known) * g).mean().abs() < 0.01  # (5)

# %% same_velocity
clean, eps = islands.sample(500), torch.randn(500, 2)
when = torch.full((500,), 700)
noisy = schedule.add_noise(clean, eps, when)
for kind in ("epsilon", "sample", "v_prediction"):  # the library's, of all three kinds
    answer = perfect_network(islands, schedule, kind)(noisy, torch.tensor(700))
    at, now, velocity = as_flow(kind, answer, noisy, when, schedule)
    assert torch.allclose(velocity, perfect_velocity(islands)(at, now), atol=1e-3)

# %% moving
share, tiny = torch.tensor(0.4, dtype=torch.float64), 1e-3
grid = torch.randn(500, 2, dtype=torch.float64)


def density_at(z, share):
    return islands.log_density(z, 1 - share, share).exp()


def flux(z):
    return density_at(z, share)[:, None] * perfect_velocity(islands)(z, share)


rate = (density_at(grid, share + tiny) - density_at(grid, share - tiny)) / (2 * tiny)
divergence = sum(
    (flux(grid + tiny * axis)[:, i] - flux(grid - tiny * axis)[:, i]) / (2 * tiny)
    for i, axis in enumerate(torch.eye(2, dtype=torch.float64))
)
assert torch.allclose(rate, -divergence, atol=1e-4)
assert rate.abs().max() > 0.01

# %% same_ends
start, timesteps = torch.randn(400, 2), spaced_timesteps("trailing", 500)
straight = flow_generate(
    perfect_velocity(islands), FlowEuler(flow_fractions(500)), start
)
network = perfect_network(islands, schedule, "v_prediction")
round_about = generate(network, DDIM(schedule, timesteps, "v_prediction"), start)
assert (straight - round_about).norm(dim=1).median() < 0.03

# %% loss
clean, eps, share = islands.sample(200_000), torch.randn(200_000, 2), torch.tensor(0.6)
z, u = (1 - share) * clean + share * eps, eps - clean
mean = perfect_velocity(islands)(z, share)
slope = torch.eye(2, requires_grad=True)  # a network of four weights: g(z) = slope z
rows, gradients = {}, {}
for name, target in {"one line": u, "mean of all lines": mean}.items():
    value = (z @ slope.T - target).square().sum(1).mean()
    (gradients[name],) = torch.autograd.grad(value, slope)
    rows[name] = [value.item(), *gradients[name].flatten().tolist()]
table(rows, ["target", "loss", "gradient", "", "", ""], ".2f").show()
floor = (u - mean).square().sum(1).mean()
assert torch.allclose(*gradients.values(), atol=0.03)
assert abs(rows["one line"][0] - rows["mean of all lines"][0] - floor) < 0.02  # (9)

# %% loss_values values
print(f"floor = {floor:.2f}")  # tolerance 2%


# %% euler
def sample(velocity, fractions, z):
    for now, then in zip(fractions, [*fractions[1:], 0.0], strict=True):
        z = z + (then - now) * velocity(z, torch.tensor(now))  # (10)
    return z


start = torch.randn(2000, 2)
fractions = [1 - place / 20 for place in range(20)]  # 1, 0.95, …, 0.05
ours = sample(perfect_velocity(islands), fractions, start)
library = flow_generate(perfect_velocity(islands), FlowEuler(fractions), start)
assert torch.allclose(ours, library, atol=1e-5)


# %% same_as_diffusers
def differs(scheduler, sampler):  # largest difference in a step, arbitrary predictions
    assert torch.allclose(scheduler.sigmas, torch.tensor(sampler.fractions), atol=1e-6)
    worst, z = 0.0, torch.randn(4, 2)
    for place, time in enumerate(scheduler.timesteps):  # 1000 times the fraction
        prediction = torch.randn(4, 2)
        theirs = scheduler.step(prediction, time, z).prev_sample
        worst = max(
            worst, float((sampler.step(prediction, place, z) - theirs).abs().max())
        )
        z = theirs
    return worst


for steps in (2, 5, 28):
    for shift in (1.0, 3.0):
        theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
        theirs.set_timesteps(sigmas=flow_fractions(steps))  # FLUX's way; it shifts
        assert differs(theirs, FlowEuler(flow_fractions(steps, shift))) < 1e-5
        theirs.set_timesteps(steps)  # the default, that of SD3's pipeline
        default = FlowEuler(flow_fractions(steps, shift, "diffusers"))
        assert differs(theirs, default) < 1e-5

# %% is_ddim
start, timesteps = torch.randn(2000, 2), spaced_timesteps("trailing", 20)
by_ddim = generate(network, DDIM(schedule, timesteps, "v_prediction"), start)
of_timesteps = fractions_of(schedule)[timesteps].tolist()
by_flow = flow_generate(perfect_velocity(islands), FlowEuler(of_timesteps), start)
assert torch.allclose(by_ddim, by_flow, atol=1e-3)

# %% clocks
figure, (left, right) = panels(2, height=2.8)
left.plot(torch.arange(1, 1001), fractions_of(schedule), label="schedule", marker="")
left.plot([0, 1000], [0, 1], label="straight", marker="")
left.set(xlabel="step t", title="share of noise f")
label_lines(left)
for shift in (1.0, 3.0):
    levels = FlowEuler(flow_fractions(8, shift)).fractions
    right.plot(levels, label=f"shift {shift:g}")
levels = FlowEuler(flow_fractions(8, 3.0, "diffusers")).fractions
right.plot(levels, label="shift 3, default")
right.set(xlabel="step of the sampler", title="share of noise f")
right.set_xticks(range(0, 9, 2))
label_lines(right)
plt.show()

# %% steps_against_quality
ways = {
    "even shares": lambda n: flow_fractions(n),
    "shift 3": lambda n: flow_fractions(n, 3.0),
    "shift 1/3": lambda n: flow_fractions(n, 1 / 3),
    "default of Diffusers": lambda n: flow_fractions(n, levels="diffusers"),
    "schedule, trailing": lambda n: fractions_of(schedule)[
        spaced_timesteps("trailing", n)
    ].tolist(),
}
starts = [torch.randn(2000, 2) for _ in range(3)]
kl = {}
for name, levels_of in ways.items():
    for steps in (2, 5, 10, 20, 50):
        sampler = FlowEuler(levels_of(steps))
        ends = [flow_generate(perfect_velocity(islands), sampler, s) for s in starts]
        values = [kl_to_density(points, islands) for points in ends]
        kl[name, steps] = sum(values) / 3
rows = {name: [kl[name, steps] for steps in (2, 5, 10, 20, 50)] for name in ways}
table(rows, ["levels", "2 steps", "5", "10", "20", "50"], ".2f").show()
for n in (2, 5, 10, 20, 50):
    assert kl["even shares", n] < min(kl["schedule, trailing", n], kl["shift 3", n])


# %% shift_by_size
def error_of_brightness(side, f, pictures=1000):  # of grey pictures, side × side pixels
    noise = torch.randn(pictures, side * side)
    return ((f * noise).mean(1).std() / (1 - f)).item()


rows = {
    f"{side} × {side} pixels, f = {f:.1f}": [error_of_brightness(side, f)]
    for side, f in ((16, 0.5), (64, 0.5), (64, shifted(0.5, 64 / 16)))
}
table(rows, ["pictures", "error of the brightness"], ".4f").show()

# %% kl_values values
for short, name in zip(
    ("even", "three", "third", "default", "trailing"), ways, strict=True
):
    for steps in (2, 5, 10, 20, 50):
        print(f"kl_{short}_{steps} = {kl[name, steps]:.2f}")  # tolerance 20%
print(f"f_500 = {fractions_of(schedule)[499]:.2f}")
