# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers import DDIMScheduler

from llm_tutorial.captions import check_lengths
from llm_tutorial.data.shapes import caption, draw, obeys, scenes
from llm_tutorial.diffusion.autoencoder import latents_of
from llm_tutorial.diffusion.checks import check_request, unknown_words
from llm_tutorial.diffusion.pipeline import load_pipeline, pictures_for
from llm_tutorial.pictures import scaled
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import weights
from llm_tutorial.tables import table

use_style()
pipe = load_pipeline(weights("diffusion", "shapes"))
k = pipe.vae.config.scaling_factor
asked = scenes(24, "validation", seed=5, things=1)
prompts = [caption(scene, ("en", "zh")[n % 2]) for n, scene in enumerate(asked)]


def draws(**options):
    """Pictures, the share that has everything right, and how bright the ground is."""
    images = pictures_for(pipe, prompts, seed=5, **options)
    right = [
        all(obeys(image, scene).values())
        for image, scene in zip(images, asked, strict=True)
    ]
    ground = np.quantile(images.mean(3), 0.75)  # at least half of a picture is ground
    return images, 100 * np.mean(right), ground


# %% scale
made = {}
for factor in (k, 0.18215, 0.5, 2.0, 5.0):  # ours; that of SD 1.5; half; double; five
    pipe.vae.register_to_config(scaling_factor=factor)
    made[factor] = draws()
pipe.vae.register_to_config(scaling_factor=k)
rows = {f"{factor:.3g}": [right] for factor, (_, right, _) in made.items()}
table(rows, ["scaling factor", "% right"], ".0f").show()
image_grid(
    np.stack([images[:6] for images, *_ in made.values()]),
    [f"{factor:.2g}" for factor in made], size=0.6,
)  # fmt: skip
plt.show()

# %% level
real = scaled(
    torch.from_numpy(
        np.stack([draw(scene, seed=n) for n, scene in enumerate(scenes(64))])
    ).permute(0, 3, 1, 2)
)
deviation = latents_of(pipe.vae, real).std().item()
left = pipe.scheduler.alphas_cumprod
at = 500
snr = (left / (1 - left))[at].item()
rows = {}
for name, std in (("ours", deviation), ("SD 1.5's", 1 / 0.18215)):
    rows[name] = [std, snr, snr * std**2]
heads = ["latents", "deviation", "SNR at t = 500", "SNR unscaled"]
table(rows, heads, ".2f").show()

# %% level_values values
print(f"sd_factor = {0.18215:.5f}")
print(f"sd_deviation = {1 / 0.18215:.1f}")
print(f"sd_times = {0.18215**-2:.0f}")

# %% truncated
long = scenes(24, "validation", seed=5, things=2)
texts = [caption(scene, "en", wording=2) for scene in long]
whole = pipe.tokenizer.model_max_length
rows = {}
for limit in (whole, 16, 12):
    pipe.tokenizer.model_max_length = limit
    cut = pipe.tokenizer(texts, padding="max_length", truncation=True, max_length=limit)
    kept = pipe.tokenizer.batch_decode(cut.input_ids, skip_special_tokens=True)
    pipe.tokenizer.model_max_length = whole
    images = pictures_for(pipe, kept, seed=5)
    facts = [obeys(image, s) for image, s in zip(images, long, strict=True)]
    rows[str(limit)] = [100 * np.mean([f[key] for f in facts])
                        for key in ("count", "colour", "shape")]  # fmt: skip
table(rows, ["tokens at most", "% count", "colours", "shapes"], ".0f").show()
pipe.tokenizer.model_max_length = 12
try:
    check_lengths(pipe.tokenizer, texts[:1])
except ValueError as error:
    print(error)
pipe.tokenizer.model_max_length = whole

# %% terminal
right_scheduler, made = pipe.scheduler, {}
for name, options in (
    ("zero terminal SNR, trailing", {}),
    ("zero terminal SNR, leading", {"timestep_spacing": "leading"}),
    ("SD 1.5's betas, trailing", {"rescale_betas_zero_snr": False}),
):
    pipe.scheduler = DDIMScheduler.from_config(right_scheduler.config, **options)
    made[name] = draws()
pipe.scheduler = right_scheduler
rows = {name: [right, ground] for name, (_, right, ground) in made.items()}
table(rows, ["10 steps", "% right", "ground (255: white)"], ".0f").show()
image_grid(
    np.stack([images[:6] for images, *_ in made.values()]),
    ["as trained", "leading", "SD 1's betas"], size=0.6,
)  # fmt: skip
plt.show()

# %% bad_input
for options in (
    {"prompts": ["red " * 40]}, {"prompts": ["a star"], "steps": 0},
    {"prompts": ["a star"], "height": 36},
):  # fmt: skip
    try:
        check_request(pipe, **options)
    except ValueError as error:
        print(error)
print(unknown_words(pipe.tokenizer, "a turquoise star, 青色的星"))
