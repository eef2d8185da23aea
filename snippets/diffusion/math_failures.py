# %% setup
import matplotlib.pyplot as plt
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from llm_tutorial.diffusion.losses import target_of
from llm_tutorial.diffusion.mixture import Mixture, three_islands
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.plotting import COLOURS, panels, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
torch.set_default_dtype(torch.float32)
use_style()
islands = three_islands()


# %% perfect
def perfect(data, scheduler):  # a network that knows the data
    schedule = Schedule(scheduler.betas)

    def network(x, timestep):
        at = timestep.reshape(1)
        a, sigma = schedule.signal(at), schedule.noise(at)
        guess = data.denoise(x, a, sigma)
        noise = (x - a.float() * guess) / sigma.float()
        return target_of("v_prediction", guess, noise, at, schedule)

    return network


def draw(network, scheduler, x, steps=None):
    scheduler.set_timesteps(steps or len(scheduler))
    for timestep in scheduler.timesteps:
        x = scheduler.step(network(x, timestep), timestep, x).prev_sample
    return x


def log_density(points):  # of the data, in the mean, in nats
    return islands.log_density(points).mean().item()


# %% dark
brightness = torch.linspace(-0.9, 0.9, 13)  # of 64 × 64 pixels, all alike
# along the mean of all pixels, times √4096, noise is standard normal; elsewhere nothing
# tells pictures apart, so this one number is all that has to be followed
root = 4096**0.5
greys = Mixture(torch.ones(13), root * brightness[:, None], torch.full((13,), 0.1))
options = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "prediction_type": "v_prediction", "clip_sample": False,
    "timestep_spacing": "trailing",
}  # fmt: skip
drawn = {"data": greys.sample(4000)[:, 0] / root}
start = torch.randn(4000, 1)
for name, zero in (("Stable Diffusion's schedule", False), ("zero terminal SNR", True)):
    scheduler = DDIMScheduler(**options, rescale_betas_zero_snr=zero)
    drawn[name] = draw(perfect(greys, scheduler), scheduler, start, 200)[:, 0] / root
spreads = {name: each.std().item() for name, each in drawn.items()}
dark = {name: (each < -0.7).float().mean().item() for name, each in drawn.items()}
assert spreads["Stable Diffusion's schedule"] < 0.5 * spreads["data"]
assert spreads["zero terminal SNR"] > 0.9 * spreads["data"]

# %% dark_figure
figure, axes = panels(3, height=2.4, sharey=True)
for panel, (name, each) in zip(axes, drawn.items(), strict=True):
    panel.hist(each, bins=17, range=(-1.275, 1.275), color=COLOURS[0], alpha=0.7)
    panel.set(title=name, xlabel="brightness of a picture", ylabel="pictures")
plt.show()

# %% dark_values values
for short, share in zip(("data", "stable", "zero"), dark.values(), strict=True):
    print(f"dark_{short} = {100 * share:.1f}")  # tolerance 50%

# %% wrong_type
toy = {"num_train_timesteps": 100, "beta_start": 1e-3, "beta_end": 0.2}
start = torch.randn(2000, 2)
rows = {"data": [log_density(islands.sample(2000)), 100.0]}
for kind in ("v_prediction", "epsilon", "sample"):
    scheduler = DDPMScheduler(**toy, prediction_type=kind, clip_sample=False)
    points = draw(perfect(islands, scheduler), scheduler, start)  # always predicts v
    near = torch.cdist(points, islands.centres).min(1).values < 1
    rows[f"scheduler set to {kind}"] = [
        log_density(points),
        100 * near.float().mean().item(),
    ]
heads = ["", "log q", "% near an island"]
table(rows, heads, [".1f", ".0f"]).show()
assert rows["scheduler set to v_prediction"][0] > -1.5
assert all(rows[f"scheduler set to {kind}"][0] < -4 for kind in ("epsilon", "sample"))

# %% find_type
output = perfect(islands, scheduler)(start, torch.tensor(99))  # a_100 is nearly 0
assert torch.allclose(output.mean(0), -islands.mean(), atol=0.05)  # so it predicts v
assert output.std(0).max() < 0.1  # a prediction of noise would give back its input

# %% off_by_one
ddim = DDIMScheduler(
    **toy,
    prediction_type="v_prediction",
    clip_sample=False,
    timestep_spacing="trailing",
)
signal = ddim.alphas_cumprod.sqrt()  # signal[0] = a_1, …, signal[99] = a_100


def deterministic(x, told=0, guarded=True):  # DDIM, by hand
    network = perfect(islands, ddim)
    for timestep in range(99, -1, -1):
        v = network(x, torch.tensor(min(max(timestep + told, 0), 99)))
        a, sigma = signal[timestep], (1 - signal[timestep] ** 2).sqrt()
        guess, noise = a * x - sigma * v, sigma * x + a * v
        first = timestep == 0 and guarded
        before = torch.tensor(1.0) if first else signal[timestep - 1]
        x = before * guess + (1 - before**2).sqrt() * noise
    return x


correct = deterministic(start)
assert torch.allclose(correct, draw(perfect(islands, ddim), ddim, start), atol=1e-3)
rows = {"data": [*islands.widths.tolist(), log_density(islands.sample(2000))]}
for name, points in {
    "right": correct, "network told one less": deterministic(start, -1),
    "network told one more": deterministic(start, +1),
    "index −1 in the last step": deterministic(start, guarded=False),
}.items():  # fmt: skip
    nearest = torch.cdist(points, islands.centres).argmin(1)
    widths = [
        (points[nearest == k] - islands.centres[k]).std().item() for k in range(3)
    ]
    rows[name] = [*widths, log_density(points)]
table(rows, ["", "width 1", "width 2", "width 3", "log q"], ".2f").show()

# %% off_by_one_values values
print(f"wrapped = {rows['index −1 in the last step'][3]:.1f}")  # tolerance 20%

# %% clipped
rows = {
    "data": [islands.sample(2000).abs().max().item(), log_density(islands.sample(2000))]
}
for scale, clip in ((1.0, True), (1.0, False), (3.0, True), (3.0, False)):
    scheduler = DDPMScheduler(**toy, prediction_type="v_prediction", clip_sample=clip)
    data = Mixture(islands.weights, islands.centres / scale, islands.widths / scale)
    points = scale * draw(perfect(data, scheduler), scheduler, start)
    name = f"data divided by {scale:.0f}, clip_sample={clip}"
    rows[name] = [points.abs().max().item(), log_density(points)]
table(rows, ["", "largest coordinate", "log q"], ".1f").show()
