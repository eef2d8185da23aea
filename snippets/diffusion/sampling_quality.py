# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.ddpm import DDPM
from llm_tutorial.diffusion.distances import (
    frechet_distance,
    kl_to_density,
    sliced_wasserstein,
)
from llm_tutorial.diffusion.dpm_solver import DPMSolver
from llm_tutorial.diffusion.mixture import Mixture, three_islands
from llm_tutorial.diffusion.sampling import generate, path, perfect_network
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.diffusion.spacing import log_snr_timesteps, spaced_timesteps
from llm_tutorial.plotting import GREY, legend, panels, spread, use_style
from llm_tutorial.tables import over_seeds, table

torch.manual_seed(0)
use_style()
islands = three_islands()
schedule = make_schedule("linear", 1000, 1e-4, 0.02)  # DDPM's
a, sigma = schedule.alphas_cumprod.sqrt(), (1 - schedule.alphas_cumprod).sqrt()
network = perfect_network(islands, schedule)


# %% distances
def sliced(one, other):  # of points in the plane
    angles = torch.arange(64) * torch.pi / 64
    lines = torch.stack([angles.cos(), angles.sin()])  # (2, 64)
    shadows, others = (one @ lines).sort(0).values, (other @ lines).sort(0).values
    return (shadows - others).square().mean().sqrt().item()  # (12)


def frechet(one, other):  # features (samples, dimensions)
    C, D = one.T.cov(), other.T.cov()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    roots = torch.linalg.eigvals(C @ D).real.clamp(min=0).sqrt()
    return (apart + C.trace() + D.trace() - 2 * roots.sum()).item()  # (13)


one, other = islands.sample(2000), islands.sample(2000) + torch.tensor([0.5, 0.0])
assert abs(sliced(one, other) - sliced_wasserstein(one, other)) < 1e-5
assert abs(frechet(one, other) - frechet_distance(one, other)) < 1e-3
normal = Mixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
shifted = torch.randn(4000, 2) + torch.tensor([1.0, 0.0])
assert abs(kl_to_density(shifted, normal) - 0.5) < 0.05  # KL of the shift: 1²/2
assert abs(kl_to_density(islands.sample(4000), islands)) < 0.05  # of the data: none

# %% measure
samplers = {
    "DDPM": lambda at: DDPM(schedule, at),
    "DDPM, large variance": lambda at: DDPM(schedule, at, variance="fixed_large"),
    "DDIM": lambda at: DDIM(schedule, at),
    "DPM-Solver++(2M)": lambda at: DPMSolver(schedule, at),
}
spacings = ("leading", "trailing", "linspace", "log SNR")


def visited(spacing, steps, name):
    if spacing == "log SNR":
        return log_snr_timesteps(schedule, steps)
    return spaced_timesteps(spacing, steps, skip_zero=name.startswith("DPM-"))


def measure(name, spacing, steps, seed):
    torch.manual_seed(seed)
    start, data = torch.randn(2000, 2), islands.sample(2000)
    points = generate(network, samplers[name](visited(spacing, steps, name)), start)
    return kl_to_density(points, islands), sliced_wasserstein(points, data)


seeds, at_20 = range(3), {}
for name in samplers:
    for spacing in spacings:
        at_20[name, spacing] = [measure(name, spacing, 20, seed)[0] for seed in seeds]
rows = {
    name: [over_seeds(at_20[name, spacing], ".2f") for spacing in spacings]
    for name in samplers
}
table(rows, ["KL at 20 steps, in nats", *spacings]).show()
best = {
    name: min(spacings, key=lambda spacing: sum(at_20[name, spacing]))
    for name in samplers
}
assert best["DPM-Solver++(2M)"] == "log SNR"
assert sum(at_20["DPM-Solver++(2M)", "log SNR"]) < sum(at_20["DDIM", best["DDIM"]])

# %% steps
counts = [5, 10, 20, 50, 100]
curves = {
    name: [
        [measure(name, best[name], steps, seed) for steps in counts] for seed in seeds
    ]
    for name in samplers
}
torch.manual_seed(7)
draws = [(islands.sample(2000), islands.sample(2000)) for _ in seeds]
floors = [
    sum(kl_to_density(one, islands) for one, _ in draws) / 3,
    sum(sliced_wasserstein(one, other) for one, other in draws) / 3,
]
figure, axes = panels(2, height=2.8)
for panel, which, title in zip(
    axes, (0, 1), ("KL divergence", "sliced Wasserstein"), strict=True
):
    for name, runs in curves.items():
        # below 0.01 nats the estimate is noise: drawn there
        values = [[max(value[which], 0.01) for value in run] for run in runs]
        spread(panel, counts, values, f"{name}")
    panel.set(xscale="log", yscale="log", xlabel="steps", title=title)
    panel.set_xticks(counts, [str(n) for n in counts], minor=False)
    panel.minorticks_off()
axes[1].set_yticks([0.1, 0.2, 0.4], ["0.1", "0.2", "0.4"], minor=False)
for panel, floor in zip(axes, floors, strict=True):
    panel.axhline(floor, color=GREY, ls="--", marker="", label="_")
legend(figure, ncols=2)
plt.show()

# %% steps_values values
short = ("ddpm", "large", "ddim", "solver")
for name, at_best in zip(short, curves.values(), strict=True):
    for place, n in ((0, 5), (1, 10), (2, 20), (3, 50), (4, 100)):
        mean = sum(run[place][0] for run in at_best) / 3
        print(f"{name}_{n} = {mean:.2f}")  # tolerance 40%
print(f"kl_data = {floors[0]:.2f}")  # tolerance 50%
print(f"sliced_data = {floors[1]:.2f}")  # tolerance 30%

# %% wrong_start
many = torch.randn(4000, 2)
wrong = many + torch.tensor([1.0, 0.0])  # half a nat from standard normal
timesteps = spaced_timesteps("trailing", 200)


def data_at(timestep):  # the islands, as noisy as at a timestep
    left, level = a[timestep].float(), sigma[timestep].float()
    widths = ((left * islands.widths) ** 2 + level**2).sqrt()
    return Mixture(islands.weights, left * islands.centres, widths)


falls, ends = {}, {}
for eta in (0.0, 0.3, 1.0):
    sampler = DDIM(schedule, timesteps, eta=eta)
    walk = list(path(network, sampler, wrong))
    falls[eta] = [
        kl_to_density(walk[n], data_at(timesteps[n]) if n < 200 else islands)
        for n in range(0, 201, 10)
    ]
    short = DDIM(schedule, spaced_timesteps("trailing", 20), eta=eta)
    ends[eta] = [
        kl_to_density(generate(network, short, many), islands),
        kl_to_density(generate(network, sampler, many), islands),
        kl_to_density(generate(network, short, wrong), islands),
        falls[eta][-1],
    ]
assert all(abs(kl - 0.5) < 0.06 for kl in falls[0.0])  # the ODE keeps it
assert falls[1.0][-1] < 0.08  # noise has forgotten it

# %% wrong_start_figure
figure, (axes,) = panels()
for eta, row in falls.items():
    axes.plot(range(0, 201, 10), row, label=f"η = {eta:g}", markersize=3)
axes.set(xlabel="step", title="KL divergence from the right density", ylim=(-0.05, 0.6))
legend(axes)
plt.show()

# %% wrong_start_table
heads = ["KL at the end", "right start, 20 steps", "200", "wrong start, 20", "200 "]
table({f"η = {eta:g}": row for eta, row in ends.items()}, heads, ".2f").show()

# %% wrong_start_values values
print(f"wrong_start = {falls[0.0][0]:.2f}")  # tolerance 10%
print(f"wrong_ode = {falls[0.0][-1]:.2f}")  # tolerance 10%
print(f"after_20 = {falls[1.0][2]:.2f}")  # tolerance 50%
