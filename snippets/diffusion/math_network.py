# %% setup
import matplotlib.pyplot as plt
import torch
from diffusers import DDPMScheduler

from llm_tutorial.diffusion.mixture import three_islands
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.diffusion.toy import PointNetwork
from llm_tutorial.plotting import COLOURS, GREY, INK, legend, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
torch.set_default_dtype(torch.float32)
use_style()
T = 100
schedule = make_schedule("linear", T, 1e-3, 0.2)
a = torch.cat([torch.ones(1), schedule.alphas_cumprod.sqrt().float()])  # a_0, …, a_T
sigma = (1 - a**2).sqrt()
islands = three_islands()

# %% train
network = PointNetwork(T)  # three hidden layers of 128; sees x_t and t
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2000)
losses = []
for _ in range(2000):
    x0, epsilon = islands.sample(256), torch.randn(256, 2)
    t = torch.randint(1, T + 1, (256,))
    x_t = a[t, None] * x0 + sigma[t, None] * epsilon
    loss = (network(x_t, t - 1) - epsilon).square().mean()  # timesteps count from 0
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    decay.step()
    losses.append(loss.item())

# %% curve
floor = torch.zeros(())
for t in range(1, T + 1):
    epsilon = torch.randn(500, 2)
    x_t = a[t] * islands.sample(500) + sigma[t] * epsilon
    best = -sigma[t] * islands.score(x_t, a[t], sigma[t])
    floor = floor + (epsilon - best).square().mean() / T
smooth = torch.tensor(losses).reshape(-1, 50).mean(1)
assert smooth[-4:].mean() < 1.1 * floor
figure, (axes,) = panels()
axes.plot(range(25, 2000, 50), smooth, marker="", label="training")
axes.axhline(floor.item(), color=GREY, ls="--", marker="", label="perfect network")
axes.set(xlabel="training step", title="loss")
legend(axes)
plt.show()

# %% against_exact
rows = {}
with torch.no_grad():
    for t in (1, 5, 20, 50, 80):
        x_t = a[t] * islands.sample(5000) + sigma[t] * torch.randn(5000, 2)
        learned = -network(x_t, torch.tensor(t - 1)) / sigma[t]
        exact = islands.score(x_t, a[t], sigma[t])
        error = (learned - exact).square().sum(1).mean().sqrt()
        length = exact.square().sum(1).mean().sqrt()
        rows[f"t = {t}"] = [x.item() for x in (length, error, sigma[t] * error)]
assert all(of_noise < 0.5 for _, _, of_noise in rows.values())
heads = ["", "length of the score", "error of the score", "error of the noise"]
table(rows, heads, ".2f").show()

# %% against_values values
print(f"times_1 = {rows['t = 1'][1] / rows['t = 1'][0]:.1f}")  # tolerance 50%

# %% field
axis = torch.linspace(-2.4, 2.4, 8)
grid = torch.cartesian_prod(axis, axis)
fine = (torch.arange(64) + 0.5) / 10 - 3.2
figure, axes = panels(2, height=3.2)
for panel, t in zip(axes, (50, 20), strict=True):
    density = islands.log_density(
        torch.cartesian_prod(fine, fine), a[t], sigma[t]
    ).exp()
    panel.imshow(
        density.reshape(64, 64).T.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2
    )
    with torch.no_grad():
        learned = -network(grid, torch.tensor(t - 1)) / sigma[t]
    for score, colour in (
        (islands.score(grid, a[t], sigma[t]), GREY),
        (learned, COLOURS[1]),
    ):
        along = score * (sigma[t] / (1 + sigma[t] * score.norm(dim=1, keepdim=True)))
        style = {"scale": 9, "width": 0.006, "color": colour}
        panel.quiver(*grid.T, *along.T, **style)
    panel.set(
        title=f"t = {t}", xticks=[], yticks=[], xlim=(-2.8, 2.8), ylim=(-2.8, 2.8)
    )
    panel.grid(visible=False)
plt.show()


# %% sample
def posterior(x0, x_t, t):  # as derived above; t from 1 to T
    beta = 1 - (a[t] / a[t - 1]) ** 2
    mean = a[t - 1] * beta * x0 + (1 - beta).sqrt() * sigma[t - 1] ** 2 * x_t
    return mean / sigma[t] ** 2, beta * sigma[t - 1] ** 2 / sigma[t] ** 2


@torch.no_grad()
def reverse_chain(predict, count, large=False):  # predict: noise, from x_t and t
    x = torch.randn(count, 2)
    yield x
    for t in range(T, 0, -1):
        x0 = (x - sigma[t] * predict(x, t)) / a[t]
        mean, variance = posterior(x0, x, t)
        if large and t > 1:
            variance = 1 - (a[t] / a[t - 1]) ** 2  # beta
        x = mean + variance.sqrt() * torch.randn_like(x)
        yield x


def learned(x, t):
    return network(x, torch.tensor(t - 1))


def exact(x, t):
    return -sigma[t] * islands.score(x, a[t], sigma[t])


chains = {}
for name, predict, large in (
    ("learned", learned, False), ("learned, large variance", learned, True),
    ("exact", exact, False), ("exact, large variance", exact, True),
):  # fmt: skip
    torch.manual_seed(1)
    chains[name] = list(reverse_chain(predict, 4000, large))[::-1]  # x_0, x_1, …, x_T

# %% same_as_diffusers
ddpm = DDPMScheduler(T, beta_start=1e-3, beta_end=0.2, clip_sample=False)
ddpm.set_timesteps(T)
torch.manual_seed(1)
x = torch.randn(4000, 2)
with torch.no_grad():
    for timestep in ddpm.timesteps:  # 99, 98, …, 0
        x = ddpm.step(network(x, timestep), timestep, x).prev_sample
assert torch.allclose(x, chains["learned"][0], atol=1e-2)

# %% reverse_stages
figure, axes = panels(5, height=2.1)
for panel, t in zip(axes, (100, 50, 25, 10, 0), strict=True):
    density = islands.log_density(
        torch.cartesian_prod(fine, fine), a[t], sigma[t]
    ).exp()
    panel.imshow(
        density.reshape(64, 64).T.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2
    )
    panel.plot(*chains["learned"][t][:120].T, ".", color=COLOURS[1], markersize=2.5)
    panel.set(
        title=f"t = {t}", xticks=[], yticks=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2)
    )
    panel.grid(visible=False)
plt.show()


# %% quality
def facts(points):  # weights and widths of the islands, mean log density
    nearest = torch.cdist(points, islands.centres).argmin(1)
    widths = [
        (points[nearest == k] - islands.centres[k]).std().item() for k in range(3)
    ]
    return [
        *(nearest.bincount(minlength=3) / len(points)).tolist(), *widths,
        islands.log_density(points).mean().item(),
    ]  # fmt: skip


torch.manual_seed(2)
rows = {"data": facts(islands.sample(4000))}
rows |= {name: facts(chain[0]) for name, chain in chains.items()}
heads = [
    "",
    "weight 1",
    "weight 2",
    "weight 3",
    "width 1",
    "width 2",
    "width 3",
    "log q",
]
table(rows, heads, ".2f").show()

# %% quality_values values
print(f"chance = {100 * (0.5 * 0.5 / 4000) ** 0.5:.1f}")
print(f"narrow = {100 * (1 - rows['exact'][5] / rows['data'][5]):.0f}")  # tolerance 40%
