# %% setup
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from llm_tutorial.diffusion.ddim import DDIM
from llm_tutorial.diffusion.distances import kl_to_density
from llm_tutorial.diffusion.dpm_solver import DPMSolver
from llm_tutorial.diffusion.mixture import Mixture, three_islands
from llm_tutorial.diffusion.sampling import generate, perfect_network
from llm_tutorial.diffusion.schedule import Schedule, make_schedule, zero_terminal_snr
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.tables import table

torch.manual_seed(0)
islands = three_islands()
start = torch.randn(2000, 2)
linear = make_schedule("linear", 1000, 1e-4, 0.02)  # DDPM's
stable = make_schedule()  # Stable Diffusion's

# %% no_steps
rows = {}
for cls in (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler):
    rows[cls.__name__] = []
    for spacing in ("leading", "trailing", "linspace"):
        scheduler = cls(timestep_spacing=spacing)
        try:
            scheduler.set_timesteps(0)
            assert not len(scheduler.timesteps)  # a pipeline decodes the noise itself
            rows[cls.__name__].append("noise comes back")
        except ZeroDivisionError:
            rows[cls.__name__].append("ZeroDivisionError")
table(rows, ["0 steps", "leading", "trailing", "linspace"]).show()
try:
    spaced_timesteps("linspace", 0)
except ValueError as error:
    print(error)

# %% night
brightness = torch.linspace(-0.9, -0.5, 9)  # a prompt asks for night
# only the mean of the 4,096 pixels tells such pictures apart; times √4096 = 64, its
# noise is standard normal, so that this one number is all that has to be followed
dark = Mixture(torch.ones(9), 64 * brightness[:, None], torch.ones(9))
noise = torch.randn(4000, 1)
rows = {}
for name, schedule in (
    ("Stable Diffusion's", stable), ("zero terminal SNR", zero_terminal_snr(stable))
):  # fmt: skip
    network = perfect_network(dark, schedule, "v_prediction")
    for spacing in ("leading", "trailing"):
        for eta in (0.0, 1.0):
            drawn = [
                generate(
                    network,
                    DDIM(schedule, spaced_timesteps(spacing, n), "v_prediction", eta),
                    noise,
                )
                for n in (5, 20, 200)
            ]
            rows[f"{name}, {spacing}, η = {eta:g}"] = [
                each.mean().item() / 64 for each in drawn
            ]
table(rows, ["mean brightness", "5 steps", "20", "200"], ".2f").show()
assert abs(rows["zero terminal SNR, trailing, η = 0"][0] + 0.7) < 0.01
assert rows["zero terminal SNR, leading, η = 0"][0] > -0.5
assert rows["Stable Diffusion's, trailing, η = 0"][2] > -0.5

# %% night_values values
print(f"night_leading_5 = {-rows['zero terminal SNR, leading, η = 0'][0]:.2f}")
print(f"night_leading_200 = {-rows['zero terminal SNR, leading, η = 0'][2]:.2f}")
stable_200 = -rows["Stable Diffusion's, trailing, η = 0"][2]
print(f"night_stable_200 = {stable_200:.2f}")
fresh_200 = -rows["Stable Diffusion's, trailing, η = 1"][2]
print(f"night_fresh_200 = {fresh_200:.2f}")

# %% nothing_left
options = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "rescale_betas_zero_snr": True, "clip_sample": False,
}  # fmt: skip
for spacing in ("trailing", "leading"):
    scheduler = DDIMScheduler(**options, timestep_spacing=spacing)  # epsilon
    network = perfect_network(islands, Schedule(scheduler.betas))
    scheduler.set_timesteps(20)
    x = start
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
    print(spacing, f"{100 * x.isnan().float().mean():.0f} % not a number")
    assert bool(x.isnan().all()) == (spacing == "trailing")
try:
    DDIM(zero_terminal_snr(stable), spaced_timesteps("trailing", 20), "epsilon")
except ValueError as error:
    print(error)

# %% wrong_type
kinds = ("epsilon", "sample", "v_prediction")
rows = {}
for learned in kinds:
    network = perfect_network(islands, linear, learned)
    rows[f"network: {learned}"] = []
    for believed in kinds:
        sampler = DPMSolver(linear, spaced_timesteps("trailing", 20), believed)
        points = generate(network, sampler, start)
        rows[f"network: {learned}"].append(kl_to_density(points, islands))
    right = rows[f"network: {learned}"][kinds.index(learned)]
    assert right < 0.3 and sorted(rows[f"network: {learned}"])[1] > 0.6
heads = ["KL, in nats", *(f"sampler: {kind}" for kind in kinds)]
table(rows, heads, ",.1f").show()

# %% sixty_one
rows = {}
for cls in (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler):
    options = {} if cls is DPMSolverMultistepScheduler else {"clip_sample": False}
    for steps in (50, 61):
        scheduler = cls(timestep_spacing="trailing", **options)
        scheduler.set_timesteps(steps)
        network = perfect_network(islands, Schedule(scheduler.betas))
        x = start
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t.clamp(min=0)), t, x).prev_sample
        last = scheduler.timesteps[-1].item()
        rows[f"{cls.__name__}, {steps} steps"] = [
            str(len(scheduler.timesteps)), str(last), f"{x.std():.1f}",
        ]  # fmt: skip
table(rows, ["trailing", "timesteps", "the last", "deviation of samples"]).show()
sampler = DDIM(linear, spaced_timesteps("trailing", 61))
assert kl_to_density(generate(network, sampler, start), islands) < 0.2  # ours
wrong = set()
for cls in (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler):
    scheduler = cls(timestep_spacing="trailing")
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        if len(scheduler.timesteps) != steps:
            wrong.add((cls.__name__, steps))
assert len({steps for _, steps in wrong}) == len(wrong) / 3  # the same in all classes

# %% sixty_one_values values
print(f"wrong_counts = {len(wrong) // 3}")

# %% half
cosine = make_schedule("squaredcos_cap_v2")
cases = {
    "linear, epsilon": (DDIM, 200, linear, "epsilon"),
    "the same, 2M, 20 steps": (DPMSolver, 20, linear, "epsilon"),
    "cosine, epsilon": (DDIM, 200, cosine, "epsilon"),
    "cosine, v_prediction": (DDIM, 200, cosine, "v_prediction"),
}
rows = {}
for dtype in (torch.float16, torch.bfloat16):
    for name, (cls, steps, schedule, kind) in cases.items():
        network = perfect_network(islands, schedule, kind)
        sampler = cls(schedule, spaced_timesteps("trailing", steps), kind)
        exact = generate(network, sampler, start)

        def rounded(x, t, dtype=dtype, network=network):  # its input and output
            return network(x.to(dtype), t).float()

        row = rows[f"{str(dtype)[6:]}: {name}"] = []
        for points in (
            generate(network, sampler, start.to(dtype)).float(),
            generate(rounded, sampler, start),
        ):
            error = (points - exact).norm(dim=1)
            row += [1000 * error.median().item(), str((error > 1).sum().item())]
heads = ["", "all: thousandths", "elsewhere", "network: thousandths", "elsewhere "]
table(rows, heads, ".1f").show()
for short in ("float16", "bfloat16"):
    everything, _, network_alone, _ = rows[f"{short}: linear, epsilon"]
    assert network_alone < 0.5 * everything
    assert (
        rows[f"{short}: cosine, epsilon"][2]
        > 10 * rows[f"{short}: cosine, v_prediction"][2]
    )

# %% half_values values
last = cosine.signal(torch.tensor([999])).item()
print(f"cosine_last = {1e6 * last:.0f}")
print(f"float16_all = {rows['float16: linear, epsilon'][0]:.0f}")  # tolerance 60%
print(f"bfloat16_all = {rows['bfloat16: linear, epsilon'][0]:.0f}")  # tolerance 60%
