# %% setup
import math

import matplotlib.pyplot as plt
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from llm_tutorial.diagrams import Diagram
from llm_tutorial.diffusion.losses import convert, min_snr_weights, target_of
from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.plotting import COLOURS, GREY, label_lines, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)  # some numbers below are small differences
use_style()
T, STEPS = 100, (5, 10, 30, 100, 300)
schedule = make_schedule("linear", T, 1e-3, 0.2)
beta, alpha = (
    torch.cat([torch.zeros(1), b]) for b in (schedule.betas, schedule.alphas)
)
a = torch.cat([torch.ones(1), schedule.alphas_cumprod.sqrt()])  # a_0, …, a_T
sigma = (1 - a**2).sqrt()
snr = a**2 / sigma**2
islands = three_islands()


# %% posterior
def posterior(x0, x_t, t):  # of x_{t-1}; t from 1 to T
    of_x0 = a[t - 1] * beta[t] / sigma[t] ** 2
    of_x_t = alpha[t].sqrt() * sigma[t - 1] ** 2 / sigma[t] ** 2
    return of_x0 * x0 + of_x_t * x_t, beta[t] * sigma[t - 1] ** 2 / sigma[t] ** 2


t, x0 = 30, 1.5
before = a[t - 1] * x0 + sigma[t - 1] * torch.randn(200_000)  # x_29
x_t = alpha[t].sqrt() * before + beta[t].sqrt() * torch.randn(200_000)  # x_30
for place in (0.0, 0.8, 1.6):
    near = before[(x_t - place).abs() < 0.02]  # where the chain came from
    mean, variance = posterior(x0, torch.tensor(place), t)
    print(f"x_30 near {place}: mean of x_29 {near.mean():.2f}, formula {mean:.2f}")
    assert abs(near.mean() - mean) < 0.01 and abs(near.var() / variance - 1) < 0.1

# %% same_posterior
ddpm = DDPMScheduler(
    T, beta_start=1e-3, beta_end=0.2, prediction_type="sample", clip_sample=False
)
x0, x_t = islands.sample(5), torch.randn(5, 2)
for t in (1, 2, 50, 100):
    mean, variance = posterior(x0, x_t, t)
    step = ddpm.step(x0, t - 1, x_t, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(step.prev_sample, mean + variance.sqrt() * noise, atol=1e-4)
    ours = schedule.posterior(x0, x_t, torch.full((5,), t - 1))  # the library's
    assert torch.allclose(ours[0], mean, atol=1e-5)

# %% chain_drawing
drawing = Diagram(width=26, height=8.4)
places = {"x_0": 2, "x_{t-1}": 10, "x_t": 17, "x_T": 24}
nodes = {n: drawing.box(at, 4.2, f"${n}$", width=3) for n, at in places.items()}
for x in (6, 20.5):
    drawing.text(x, 4.2, "…")
before, now = nodes["x_{t-1}"], nodes["x_t"]
drawing.arrow((10.6, 5.2), (16.4, 5.2), via=[(10.6, 6.2), (16.4, 6.2)], color=GREY)
drawing.text(13.5, 7.2, r"$q(x_t \mid x_{t-1})$")
drawing.arrow(
    (16.4, 3.2), (10.6, 3.2), via=[(16.4, 2.2), (10.6, 2.2)], color=COLOURS[1]
)
drawing.text(13.5, 1.1, r"$p_\theta(x_{t-1} \mid x_t)$", color=COLOURS[1])
drawing.text(3.5, 7.2, "data")
drawing.text(22.5, 7.2, "noise")
plt.show()


# %% bound
def chain_of(T):  # beta from 0.1 / T to 20 / T, where T is large: a_0, …, a_T
    u = torch.linspace(0, 1, T + 1)
    return (-(0.1 * u + 9.95 * u**2) / 2).exp()


def bound(T, x0, denoise, variance="small"):  # in nats: L_T, …, L_0
    a, d = chain_of(T), x0.shape[1]
    sigma = (1 - a**2).sqrt()
    last = Normal(a[T] * x0, sigma[T])
    terms = [kl_divergence(last, Normal(0.0, 1.0)).sum(1).mean()]  # L_T
    for t in range(T, 0, -1):
        guess = denoise(a[t] * x0 + sigma[t] * torch.randn_like(x0), a[t], sigma[t])
        error = (x0 - guess).square().sum(1).mean()
        if t == 1:  # a likelihood, always with its best variance, error / d
            terms.append(d / 2 * (2 * math.pi * math.e * error / d).log())  # L_0
            break
        beta = 1 - (a[t] / a[t - 1]) ** 2
        small = beta * sigma[t - 1] ** 2 / sigma[t] ** 2  # variance of the posterior
        apart = (a[t - 1] * beta / sigma[t] ** 2) ** 2 * error  # of the means, squared
        chosen = {"small": small, "large": beta, "best": small + apart / d}[variance]
        spreads = d / 2 * (small / chosen - 1 + (chosen / small).log())
        terms.append(apart / (2 * chosen) + spreads)  # L_{t-1}
        if variance == "small":
            fall = (a[t - 1] / sigma[t - 1]) ** 2 - (a[t] / sigma[t]) ** 2  # of the SNR
            assert terms[-1].isclose(fall / 2 * error)
    return torch.stack(terms)


# %% gaps
points = islands.sample(3000)
exact = -islands.log_density(points).mean()  # what no bound can go below
best = islands.denoise  # the mean of x_0 for every x_t
bounds = {
    choice: {steps: bound(steps, points, best, choice) for steps in STEPS}
    for choice in ("small", "large", "best")
}
gaps = {
    choice: {steps: (terms.sum() - exact).item() for steps, terms in found.items()}
    for choice, found in bounds.items()
}
terms = {choice: bounds[choice][100] for choice in ("small", "best")}
lost = terms["small"] - terms["best"]  # in nats, by term
early = lost[-11:-1].sum() / lost.sum()  # t = 11, …, 2
assert gaps["best"][300] < 0.1 < 0.5 < gaps["small"][300]
worse = bound(100, points, lambda x, *level: 0.8 * best(x, *level), "best").sum()
assert worse - exact > gaps["best"][100] + 1

# %% bound_figure
figure, (left, right) = panels(2)
left.plot(range(100, 1, -1), terms["small"][1:-1], marker="")
left.set(xlabel="step t", title="terms of the bound, nats", yscale="log")
for choice, found in gaps.items():
    right.plot(STEPS, list(found.values()), label=f"{choice} variance")
right.set(xlabel="steps T", title="bound above the entropy, nats")
right.set(xscale="log", ylim=(-0.05, 2.2))
label_lines(right)
plt.show()

# %% bound_values values
print(f"entropy = {exact:.2f}")  # tolerance 5%
for choice, found in gaps.items():
    print(f"gap_{choice}_100 = {found[100]:.2f}")  # tolerance 60%
print(f"gap_small_300 = {gaps['small'][300]:.1f}")  # tolerance 30%
print(f"early = {100 * early:.0f}")  # tolerance 10%
print(f"ratio_2 = {terms['best'][-2].exp():.1f}")  # tolerance 20%
print(f"gap_worse = {worse - exact:.0f}")  # tolerance 20%

# %% score
noise = torch.randn(200_000, 2)
x0 = islands.sample(200_000)
for t in (5, 30, 80):
    x_t = a[t] * x0 + sigma[t] * noise
    score = islands.score(x_t, a[t], sigma[t])  # gradient of log q(x_t), closed form
    for weigh in (torch.ones_like(x_t), x_t, x_t.sin(), x_t.flip(1) ** 2):
        of_noise, of_score = (
            (each * weigh).mean(0) for each in (noise, -sigma[t] * score)
        )
        assert torch.allclose(of_noise, of_score, atol=0.03)

# %% denoising_identity
t = 30
x_t = a[t] * x0 + sigma[t] * noise
score = islands.score(x_t, a[t], sigma[t])
rows = {}
for name, guess in {
    "the score itself": score, "half of it": 0.5 * score, "zero": 0 * score,
    "that of a standard normal": -x_t,
}.items():  # fmt: skip
    explicit = (guess - score).square().sum(1).mean().item()
    denoising = (guess + noise / sigma[t]).square().sum(1).mean().item()
    rows[name] = [explicit, denoising, denoising - explicit]
apart = [row[2] for row in rows.values()]
assert max(apart) - min(apart) < 0.02 * apart[0]
table(
    rows, ["a guess of the score", "explicit", "denoising", "difference"], ".2f"
).show()


# %% circle
phi = torch.linspace(0, math.pi / 2, 60)
figure, (axes,) = panels(height=3.6)
axes.plot(phi.cos(), phi.sin(), color=GREY, marker="", lw=1)
here = torch.tensor([math.cos(0.7), math.sin(0.7)])
ahead = torch.tensor([-here[1], here[0]])
for name, start, end, colour in (
    ("$x_0$", (0, 0), (1, 0), GREY), ("$\\epsilon$", (0, 0), (0, 1), GREY),
    ("$x_t$", (0, 0), here, COLOURS[0]), ("$v$", here, here + 0.6 * ahead, COLOURS[1]),
):  # fmt: skip
    axes.annotate(
        "", tuple(end), tuple(start), arrowprops={"arrowstyle": "-|>", "color": colour}
    )
    axes.text(float(end[0]) + 0.04, float(end[1]) + 0.04, name, color=colour)
axes.text(0.2, 0.06, "$\\varphi$")
axes.set(xlim=(-0.1, 1.25), ylim=(-0.1, 1.25), xticks=[], yticks=[], aspect="equal")
axes.spines[:].set_visible(False)
plt.show()


# %% predictions
def from_epsilon(x_t, epsilon, a, sigma):
    x0 = (x_t - sigma * epsilon) / a
    return x0, a * epsilon - sigma * x0  # x_0 and v


def from_velocity(x_t, v, a, sigma):
    return a * x_t - sigma * v, sigma * x_t + a * v  # x_0 and epsilon


t = 30
x0, epsilon = x0[:1000], noise[:1000]
x_t, v = x_t[:1000], a[t] * epsilon - sigma[t] * x0
for found, true in zip(
    (
        *from_epsilon(x_t, epsilon, a[t], sigma[t]),
        *from_velocity(x_t, v, a[t], sigma[t]),
    ),
    (x0, v, x0, epsilon),
    strict=True,
):
    assert torch.allclose(found, true, atol=1e-5)
angle = torch.atan2(sigma[t], a[t])  # x_t turns from x_0 to epsilon
_, turning = torch.func.jvp(
    lambda angle: angle.cos() * x0 + angle.sin() * epsilon, (angle,), (torch.ones(()),)
)
assert torch.allclose(turning, v, atol=1e-5)

# %% same_predictions
timesteps = torch.full((1000,), t - 1)
kinds = ("epsilon", "sample", "v_prediction")
truth = {k: target_of(k, x0, epsilon, timesteps, schedule) for k in kinds}
for given in kinds:
    for wanted in kinds:
        made = convert(given, wanted, truth[given], x_t, timesteps, schedule)
        assert torch.allclose(made, truth[wanted], atol=1e-4)
    ddpm = DDPMScheduler(
        T, beta_start=1e-3, beta_end=0.2, prediction_type=given, clip_sample=False
    )
    found = ddpm.step(truth[given], t - 1, x_t).pred_original_sample
    assert torch.allclose(found, x0, atol=1e-4)

# %% weights
ddpm_schedule = make_schedule("linear", 1000, 1e-4, 0.02)
ratio = ddpm_schedule.snr()
steps = torch.arange(2, 1001)
weights = {  # of the squared error of x_0
    "bound": 500 * (ratio[:-1] - ratio[1:]),  # 1000 terms, in the mean
    "velocity": (ratio + 1)[1:],
    "noise": ratio[1:],
    "min-SNR, γ = 5": min_snr_weights("sample", ddpm_schedule)[1:],
    "clean sample": torch.ones(999),
}
against = weights["noise"] / weights["bound"]  # rises with the noise, then falls
assert 300 < against.argmax() < 400
figure, (axes,) = panels(height=3.2)
for name, weight in weights.items():
    axes.plot(steps, weight, marker="", label=name)
axes.set(xlabel="step t", title="weight of the error of the clean sample", yscale="log")
axes.set(ylim=(1e-5, 1e6), xlim=(0, 1000))
label_lines(axes)
plt.show()
