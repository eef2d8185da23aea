# %% setup
import matplotlib.pyplot as plt
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from llm_tutorial.diffusion.distances import kl_to_density
from llm_tutorial.diffusion.flow import (
    FlowEuler,
    flow_fractions,
    flow_generate,
    flow_path,
)
from llm_tutorial.diffusion.mixture import Mixture, three_islands
from llm_tutorial.diffusion.sampling import perfect_network
from llm_tutorial.diffusion.schedule import make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.straight import flow_network, perfect_velocity
from llm_tutorial.diffusion.toy import PointNetwork
from llm_tutorial.plotting import COLOURS, GREY, INK, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
islands = three_islands()
even = {steps: FlowEuler(flow_fractions(steps)) for steps in (1, 2, 5, 20, 100)}


# %% train
def train(pairs, steps=1200, rate=1e-2):
    torch.manual_seed(0)
    network = PointNetwork(steps=2)  # its time runs from 0 to 1: the share of noise
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(step / 50, 1 - step / steps)
        x0, noise = pairs(256)
        f = torch.rand(256)
        z = (1 - f)[:, None] * x0 + f[:, None] * noise  # (1)
        loss = (network(z, f) - (noise - x0)).square().mean()  # (8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


velocity = train(lambda count: (islands.sample(count), torch.randn(count, 2)))

# %% reflow
noises = torch.randn(8192, 2)
ends = flow_generate(velocity, even[100], noises)  # where the flow takes them


def couples(count):  # noise and data that belong together, not any two
    drawn = torch.randint(len(noises), (count,))
    return ends[drawn], noises[drawn]


straighter = train(couples)

# %% reflow_paths
start = torch.randn(20, 2)
fine = (torch.arange(64) + 0.5) / 10 - 3.2
density = islands.log_density(torch.cartesian_prod(fine, fine)).exp().reshape(64, 64)
figure, axes = panels(2, height=2.9)
for panel, title, network in zip(
    axes, ("learned flow", "after reflow"), (velocity, straighter), strict=True
):
    with torch.no_grad():
        ways = torch.stack(list(flow_path(network, even[100], start)))
    panel.imshow(density.T.sqrt(), INK, origin="lower", extent=(-3.2, 3.2) * 2)
    panel.plot(*ways.permute(2, 0, 1), color=COLOURS[1], marker="", lw=0.7)
    panel.plot(*ways[0].T, "o", color=GREY, markersize=2)
    panel.plot(*ways[-1].T, "o", color=COLOURS[1], markersize=3)
    panel.set(title=title, xticks=[], yticks=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    panel.grid(visible=False)
plt.show()


# %% straightness
@torch.no_grad()
def bend(network, start):  # how far velocities are from the way as a whole
    ways = torch.stack(list(flow_path(network, even[100], start)))
    strides = (ways[:-1] - ways[1:]) * 100  # velocities, (100, points, 2)
    whole = ways[0] - ways[-1]
    off = (strides - whole).square().sum(2).mean()
    return (off / whole.square().sum(1).mean()).item()


start, flows = torch.randn(2000, 2), {}
flows["exact"], flows["learned"] = perfect_velocity(islands), velocity
flows["after reflow"] = straighter
rows = {}
for name, network in flows.items():
    found = [flow_generate(network, even[n], start) for n in (1, 2, 5, 20, 100)]
    kl = [kl_to_density(points, islands) for points in found]
    rows[name] = [100 * bend(network, start[:500]), *kl]
heads = ["flow", "bend, %", "KL, 1 step", "2", "5", "20", "100"]
table(rows, heads, [".1f", *[".2f"] * 5]).show()
assert rows["after reflow"][0] < rows["learned"][0] / 3
assert rows["after reflow"][2] < rows["learned"][2]

# %% straightness_values values
for short, name in zip(("exact", "learned", "reflow"), rows, strict=True):
    print(f"bend_{short} = {rows[name][0]:.1f}")  # tolerance 40%
    for steps, value in zip((1, 2, 5, 20, 100), rows[name][1:], strict=True):
        print(f"kl_{short}_{steps} = {value:.2f}")  # tolerance 40%

# %% backwards
perfect, start = perfect_velocity(islands), torch.randn(2000, 2)
readings = {
    "noise less data, 1 is noise": perfect,
    "the velocity's sign is wrong": lambda z, f: -perfect(z, f),
    "the clock's direction is wrong": lambda z, f: perfect(z, 1 - f),
    "both (the other convention)": lambda z, f: -perfect(z, 1 - f),
}
rows = {}
for name, network in readings.items():
    points = flow_generate(network, even[20], start)
    rows[name] = [islands.log_density(points).mean().item(), points.std().item()]
data = islands.sample(2000)
rows["(data)"] = [islands.log_density(data).mean().item(), data.std().item()]
table(rows, ["the network is read as", "log q", "spread"], ".1f").show()
log_q = [entries[0] for entries in rows.values()]
assert max(log_q[1:4]) < log_q[0] - 1

# %% find_direction
clean, noise, f = islands.sample(2000), torch.randn(2000, 2), torch.rand(2000)
z, losses = (1 - f)[:, None] * clean + f[:, None] * noise, {}
for name, network in readings.items():  # the loss of training, without training
    losses[name] = (network(z, f) - (noise - clean)).square().mean()
    print(f"{name:32}{losses[name]:6.1f}")
assert min(losses, key=losses.get) == "noise less data, 1 is noise"

# %% wrong_path
schedule = zero_terminal_snr(make_schedule())
of_timestep = perfect_network(islands, schedule, "v_prediction")


def v_network(x, t):
    return of_timestep(x, t.round().long())


def taken_as_it_is(z, f):  # 1000 f looks like a timestep, v is called a velocity too
    return v_network(z, (1000 * f).clamp(max=999))


rows = {}
for steps in (5, 20, 50):
    found = [
        flow_generate(network, FlowEuler(flow_fractions(steps)), start)
        for network in (taken_as_it_is, flow_network(v_network, schedule))
    ]
    rows[f"{steps} steps"] = [kl_to_density(points, islands) for points in found]
table(rows, ["KL", "as it is", "converted"], ".2f").show()
assert rows["50 steps"][0] > 5 * rows["50 steps"][1]


# %% forgotten_shift
brightness = torch.linspace(-0.9, 0.9, 61)[:, None]  # of pictures of 64 × 64 pixels
grey = Mixture(torch.ones(61), 64 * brightness, torch.full((61,), 1.0))
rows = {}
for shift in (1.0, 4.0, 16.0, 64.0):
    rows[f"{shift:g}"] = [
        100 * (made / 64 < -0.7).float().mean().item()
        for steps in (5, 10, 50)
        for made in [
            flow_generate(
                perfect_velocity(grey),
                FlowEuler(flow_fractions(steps, shift)),
                torch.randn(2000, 1),
            )
        ]
    ]
rows["(data)"] = [100 * (grey.sample(20000) / 64 < -0.7).float().mean().item()] * 3
table(rows, ["shift", "darker than −0.7, %: 5 steps", "10", "50"], ".1f").show()

# %% integer_time
scheduler = FlowMatchEulerDiscreteScheduler()
scheduler.set_timesteps(4)
try:
    scheduler.step(torch.zeros(1, 2), 0, torch.zeros(1, 2))
except ValueError as error:
    print(error)
