# %% setup
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg

from llm_tutorial.data.digits import digits
from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.ddpm import DDPM
from llm_tutorial.diffusion.distances import frechet_distance
from llm_tutorial.diffusion.dpm_solver import DPMSolver
from llm_tutorial.diffusion.guidance import guided
from llm_tutorial.diffusion.losses import convert
from llm_tutorial.diffusion.sampling import generate
from llm_tutorial.diffusion.schedule import make_schedule
from llm_tutorial.diffusion.spacing import log_snr_timesteps, spaced_timesteps
from llm_tutorial.plotting import image_grid, panels, spread, use_style
from llm_tutorial.tables import table

torch.manual_seed(0)
use_style()
schedule = make_schedule("linear", 1000, 1e-4, 0.02)  # DDPM's
a, sigma = schedule.alphas_cumprod.sqrt().float(), (1 - schedule.alphas_cumprod).sqrt()
sigma = sigma.float()

# %% perfect_digits
images, labels = (torch.from_numpy(array) for array in digits())
images = torch.nn.functional.avg_pool2d(images[:, None].float(), 2)  # 14 × 14 pixels
pictures = images.flatten(1) / 127.5 - 1  # (4000, 196), from -1 to 1
known, others = pictures[:2000], pictures[2000:]
width = 0.1  # each known digit is a narrow island


def best_noise(x, t, centres):  # as for the islands, all widths alike
    variance = (a[t] * width) ** 2 + sigma[t] ** 2
    near = a[t] * (x @ centres.T) - a[t] ** 2 * centres.square().sum(1) / 2
    mean = (near / variance).softmax(1) @ centres
    guess = mean + a[t] * width**2 / variance * (x - a[t] * mean)
    return (x - a[t] * guess) / sigma[t]


def digit_network(x, t):
    return best_noise(x, t, known)


# %% bias
sizes = [100, 200, 400, 800, 1600]
runs = []
for _ in range(3):  # two sets of real digits, no picture in both
    order = torch.randperm(4000)
    runs.append(
        [frechet_distance(pictures[order[:n]], pictures[order[-n:]]) for n in sizes]
    )
figure, (axes,) = panels()
spread(axes, sizes, runs)
axes.set(xscale="log", yscale="log", xlabel="pictures", title="Fréchet distance")
axes.set_xticks(sizes, [str(n) for n in sizes], minor=False)
axes.minorticks_off()
plt.show()
for run in runs:  # halved when the pictures are doubled
    assert all(1.6 < more / less < 2.4 for more, less in pairwise(run))

# %% bias_values values
print(f"bias_100 = {sum(run[0] for run in runs) / 3:.1f}")  # tolerance 10%
print(f"bias_1600 = {sum(run[-1] for run in runs) / 3:.2f}")  # tolerance 10%

# %% wrong_ranking
digit_noise = torch.randn(1000, 196)
samplers = {
    "DDPM": lambda at: DDPM(schedule, at),
    "DDPM, large variance": lambda at: DDPM(schedule, at, variance="fixed_large"),
    "DDIM": lambda at: DDIM(schedule, at),
    "DPM-Solver++(2M)": lambda at: DPMSolver(schedule, at),
}


def drawn(name, spacing, steps, digit_noise):
    if spacing == "log SNR":
        at = log_snr_timesteps(schedule, steps)
    else:
        at = spaced_timesteps(spacing, steps, skip_zero=name.startswith("DPM-"))
    torch.manual_seed(1)
    return generate(digit_network, samplers[name](at), digit_noise)


torch.manual_seed(2)
data = known + width * torch.randn(2000, 196)
good = drawn("DPM-Solver++(2M)", "leading", 10, digit_noise)
worse = drawn("DDPM", "leading", 10, digit_noise)
rows = {
    "DPM-Solver++(2M)": [
        frechet_distance(good[:n], data) for n in (125, 250, 500, 1000)
    ],
    "DDPM": [frechet_distance(worse[:n], data) for n in (125, 250, 500, 1000)],
}
table(rows, ["samples", "125", "250", "500", "1,000"], ".2f").show()
assert rows["DPM-Solver++(2M)"][1] > rows["DDPM"][3]  # the better one looks worse

# %% grid
counts = [3, 5, 10, 20, 50]
rows = [
    torch.stack(
        [drawn(name, "trailing", steps, digit_noise[:1])[0] for steps in counts]
    )
    for name in samplers
]
grid = torch.stack(rows).reshape(4, 5, 14, 14)
image_grid((1 - grid.clamp(-1, 1)) / 2, list(samplers), [str(n) for n in counts])
plt.show()

# %% frechet_digits
spacings = ("leading", "trailing", "log SNR")
rows = {
    name: [
        frechet_distance(drawn(name, spacing, steps, digit_noise), data)
        for spacing in spacings
        for steps in (5, 10, 20)
    ]
    for name in samplers
}
torch.manual_seed(3)
fresh = known[torch.randperm(2000)[:1000]] + width * torch.randn(1000, 196)
floor = frechet_distance(fresh, data)
heads = ["", *(f"{spacing}, {steps}" for spacing in spacings for steps in (5, 10, 20))]
table(rows, heads, ".2f").show()
solver, ddim, ddpm = (rows[name] for name in ("DPM-Solver++(2M)", "DDIM", "DDPM"))
assert all(two < 1.05 * one for two, one in zip(solver, ddim, strict=True))
assert all(one < none for one, none in zip(ddim, ddpm, strict=True))
assert solver[6] > 1.3 * min(solver[0], solver[3])  # log SNR, with five steps
assert solver[7] < min(solver[1], solver[4])  # and with ten

# %% grain
quiet = known.std(0) < 0.05  # pixels of one value: there the data are grain alone
compared = {
    f"{spacing}, {steps} steps": drawn("DPM-Solver++(2M)", spacing, steps, digit_noise)
    for spacing in spacings
    for steps in (5, 10)
} | {"new draws of the data": fresh}
rows = {
    name: [
        frechet_distance(x[:, ~quiet], data[:, ~quiet]),
        frechet_distance(x[:, quiet], data[:, quiet]),
        x[:, quiet].std(0).mean().item(),
    ]
    for name, x in compared.items()
}
heads = ["2M", "where digits differ", "in quiet pixels", "deviation there"]
table(rows, heads, ".2f").show()
tens = [rows[f"{spacing}, 10 steps"][0] for spacing in spacings]
assert max(tens) < 1.15 * min(tens)  # but for grain, ten steps are alike

# %% frechet_digits_values values
print(f"floor = {floor:.2f}")  # tolerance 10%
for place, steps in enumerate((5, 10, 20)):
    print(f"solver_{steps} = {min(solver[place::3]):.2f}")  # tolerance 10%
    print(f"ddim_{steps} = {min(ddim[place::3]):.2f}")  # tolerance 10%

# %% guidance
asked = torch.arange(10).repeat_interleave(20)  # 20 pictures of each digit
noise = torch.randn(200, 196)
by_digit = [known[labels[:2000] == digit] for digit in range(10)]
at = spaced_timesteps("leading", 20, skip_zero=True)


def with_guidance(scale, rescale=0.0, kind="epsilon"):
    beyond, times = [], []

    def guided_network(x, t):
        predicted = [
            torch.cat(
                [
                    best_noise(x[asked == digit], t, by_digit[digit])
                    for digit in range(10)
                ]
            ),
            digit_network(x, t),
        ]
        step = t.reshape(1)
        predicted = [
            convert("epsilon", kind, one, x, step, schedule) for one in predicted
        ]
        both = guided(*predicted, scale, rescale)
        times.append((both.std(1) / predicted[0].std(1)).mean().item())
        guess = convert(kind, "sample", both, x, step, schedule)
        beyond.append((guess.abs() > 1.2).float().mean().item())
        return both

    drawn = generate(guided_network, DPMSolver(schedule, at, kind), noise)
    return drawn, 100 * max(beyond), max(times)


def facts(x):
    read = labels[2000:][torch.cdist(x, others).argmin(1)]  # of the most alike picture
    apart = [torch.pdist(x[asked == digit]).mean() for digit in range(10)]
    outside = (x.abs() > 1.2).float().mean().item()
    return [
        100 * (read == asked).float().mean().item(), sum(apart).item() / 10,
        100 * outside,
    ]  # fmt: skip


made = {scale: with_guidance(scale) for scale in (0, 1, 2, 4, 8)}
real = torch.cat([pictures_of[:20] for pictures_of in by_digit])  # as it learned them
rows = {"known digits": [*facts(real + width * torch.randn_like(real)), "—"]}
rows |= {f"w = {w}": [*facts(x), f"{beyond:.1f}"] for w, (x, beyond, _) in made.items()}
heads = ["", "% read as asked", "apart", "% beyond at the end", "% beyond on the way"]
table(rows, heads, ".1f").show()
assert rows["w = 8"][0] > rows["w = 1"][0] > 90  # easier to read
assert rows["w = 8"][1] < rows["w = 1"][1]  # and more alike
assert rows["w = 8"][2] < 1  # comes back in the end

# %% guidance_grid
grid = torch.stack([x[::20] for x, *_ in made.values()]).reshape(5, 10, 14, 14)
image_grid((1 - grid.clamp(-1, 1)) / 2, [f"w = {scale}" for scale in made])
plt.show()

# %% rescale
one, other = torch.randn(2, 4, 8, 8, 8) * torch.tensor([1.0, 2.0]).reshape(
    2, 1, 1, 1, 1
)
for scale in (1.0, 7.5):
    for rescale in (0.0, 0.7, 1.0):
        theirs = rescale_noise_cfg(other + scale * (one - other), one, rescale)
        assert torch.allclose(guided(one, other, scale, rescale), theirs, atol=1e-5)
rows = {}
for kind in ("epsilon", "v_prediction"):
    for rescale in (0.0, 0.7, 1.0):
        x, beyond, times = with_guidance(8.0, rescale, kind)
        rows[f"w = 8, {kind}, rescale {rescale:g}"] = [
            *facts(x), f"{beyond:.1f}", f"{times:.2f}",
        ]  # fmt: skip
table(rows, [*heads, "deviation, times"], ".1f").show()
noise_rows, velocity_rows = list(rows.values())[:3], list(rows.values())[3:]
assert abs(float(noise_rows[2][3]) - float(noise_rows[0][3])) < 5  # no effect
assert float(velocity_rows[2][3]) < 0.3 * float(velocity_rows[0][3])
