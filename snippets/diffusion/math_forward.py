# %% setup
import matplotlib.pyplot as plt
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.plotting import COLOURS, GREY, INK, legend, panels, use_style

torch.manual_seed(0)
use_style()

# %% chain
T = 100
betas = torch.linspace(1e-3, 0.2, T)  # variance that each step adds
islands = three_islands()


def forward_chain(x):  # (batch, 2)
    yield x
    for beta in betas:
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn_like(x)
        yield x


clean = islands.sample(20_000)
chain = list(forward_chain(clean))  # x_0, x_1, …, x_100

# %% stages
STAGES = (0, 10, 25, 50, 100)
a = torch.cat([torch.ones(1), (1 - betas).cumprod(0).sqrt()])  # a_0, …, a_T
sigma = (1 - a**2).sqrt()
axis = (torch.arange(64) + 0.5) / 10 - 3.2  # middles of cells
grid = torch.cartesian_prod(axis, axis)  # (4096, 2)

figure, axes = panels(5, height=2.1)
for panel, t in zip(axes, STAGES, strict=True):
    density = islands.log_density(grid, a[t], sigma[t]).exp().reshape(64, 64).T
    panel.imshow(density.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2)
    panel.plot(*chain[t][:120].T, ".", color=COLOURS[1], markersize=2.5)
    panel.set(
        title=f"t = {t}", xticks=[], yticks=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2)
    )
    panel.grid(visible=False)
plt.show()

# %% marginal
start = torch.tensor([1.5, 0.5]).expand(200_000, 2)
for t, x in enumerate(forward_chain(start)):  # 100 small steps …
    if t in STAGES[1:]:
        mean, spread = x.mean(0), x.std(0)  # … and their closed form
        assert torch.allclose(mean, a[t] * start[0], atol=0.01)
        assert torch.allclose(spread, sigma[t].expand(2), atol=0.01)


# %% toy_density
def fraction(points):  # of points in a square around the origin
    return (points.abs() < 1).all(1).float().mean()


for t in STAGES:
    inside = (grid.abs() < 1).all(1)
    integral = islands.log_density(grid, a[t], sigma[t]).exp()[inside].sum() / 100
    found = fraction(chain[t])
    print(f"t = {t:3}: fraction of points {found:.2f}, integral {integral:.2f}")
    assert abs(found - integral) < 0.01

# %% diffusers
schedule = make_schedule("linear", T, 1e-3, 0.2)
theirs = DDPMScheduler(T, beta_start=1e-3, beta_end=0.2)
assert torch.allclose(schedule.alphas_cumprod.float(), theirs.alphas_cumprod)

noise = torch.randn_like(clean)
timesteps = torch.randint(T, (len(clean),))  # 0, …, 99: step t of the page is t - 1
noisy = schedule.add_noise(clean, noise, timesteps)
assert torch.allclose(noisy, theirs.add_noise(clean, noise, timesteps), atol=1e-6)
step = timesteps + 1
assert torch.allclose(
    noisy, a[step, None] * clean + sigma[step, None] * noise, atol=1e-5
)


# %% zero_terminal
def rescaled(a):  # (T,) signal levels: move the last to 0, then stretch back the first
    return (a - a[-1]) * a[0] / (a[0] - a[-1])


stable = make_schedule("scaled_linear", 1000, 0.00085, 0.012)  # Stable Diffusion's
a_stable = stable.alphas_cumprod.sqrt()
options = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
fixed = DDIMScheduler(**options, rescale_betas_zero_snr=True)
assert torch.allclose(
    rescaled(a_stable).float(), fixed.alphas_cumprod.sqrt(), atol=1e-4
)
ours = zero_terminal_snr(stable)
assert torch.allclose(rescaled(a_stable), ours.alphas_cumprod.sqrt(), atol=1e-9)

# %% schedules
kinds = {
    "linear (DDPM)": make_schedule("linear", 1000, 1e-4, 0.02),
    "scaled linear (Stable Diffusion)": stable,
    "scaled linear, zero terminal SNR": ours,
    "cosine": make_schedule("squaredcos_cap_v2", 1000),
}
figure, (left, right) = panels(2)
for (name, kind), dash in zip(kinds.items(), ("-", "-", "--", "-"), strict=True):
    steps = torch.arange(1, 1001)
    style = {"marker": "", "linestyle": dash, "label": name}
    left.plot(steps, kind.alphas_cumprod.sqrt(), **style)
    right.plot(steps, kind.snr().clamp(min=1e-10).log10(), **style)
left.set(xlabel="step t", title="signal left", ylim=(0, 1.02))
right.set(xlabel="step t", title="log10 of SNR", ylim=(-6, 4.3))
right.axhline(0, color=GREY, lw=0.8, marker="")
legend(figure, ncols=2)
plt.show()

# %% schedule_values values
print(f"signal_left_toy = {a[-1]:.3f}")
for name, kind in zip(
    ("linear", "stable", "zero", "cosine"), kinds.values(), strict=True
):
    print(f"signal_left_{name} = {kind.alphas_cumprod[-1].sqrt():.4f}")
