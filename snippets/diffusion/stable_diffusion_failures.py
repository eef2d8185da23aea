# %% setup
import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

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
    """Pictures, what is right in per cent, and the darkest ground of a picture."""
    images = pictures_for(pipe, prompts, seed=5, **options)
    facts = [obeys(image, scene) for image, scene in zip(images, asked, strict=True)]
    right = {key: 100 * np.mean([each[key] for each in facts]) for key in facts[0]}
    right["all"] = 100 * np.mean([all(each.values()) for each in facts])
    ground = np.median(images.mean(3), axis=(1, 2)).min()  # most of a picture is ground
    return images, right, ground


# %% scale
made = {}
for factor in (k, 0.18215, 0.5, 2.0, 5.0):  # ours, that of SD 1.5, and others
    pipe.vae.register_to_config(scaling_factor=factor)
    made[factor] = draws()
pipe.vae.register_to_config(scaling_factor=k)
keys = ("count", "place", "size", "shape", "colour", "all")
rows = {
    f"{factor:.2g}": [right[key] for key in keys]
    for factor, (_, right, _) in made.items()
}
table(rows, ["% right, scaling factor", *keys], ".0f").show()
assert made[k][1]["all"] > 90 > 50 > made[0.5][1]["all"]
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
near = [made[factor][1] for factor in (0.5, 2.0)]
print(f"kept = {min(min(r['place'], r['shape']) for r in near):.0f}")  # tolerance 10%
print(f"coloured = {max(r['colour'] for r in near):.0f}")  # tolerance 50%
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
assert rows[str(whole)][0] > 90 > 10 > rows["12"][0]
pipe.tokenizer.model_max_length = 12
try:
    check_lengths(pipe.tokenizer, texts[:1])
except ValueError as error:
    print(error)
pipe.tokenizer.model_max_length = whole

# %% terminal
right_scheduler, made = pipe.scheduler, {}
for name in ("trailing", "leading"):
    pipe.scheduler = DDIMScheduler.from_config(
        right_scheduler.config, timestep_spacing=name
    )
    made[name] = draws()
    print(f"{name}: begins at t = {pipe.scheduler.timesteps[0]}")
pipe.scheduler = right_scheduler
rows = {name: [right["all"], ground] for name, (_, right, ground) in made.items()}
table(rows, ["10 steps", "% right", "darkest ground (white: 255)"], ".0f").show()

# %% bad_input
for options in (
    {"prompts": ["red " * 40]}, {"prompts": ["a star"], "steps": 0},
    {"prompts": ["a star"], "height": 35},
):  # fmt: skip
    try:
        check_request(pipe, **options)
    except ValueError as error:
        print(error)
print(unknown_words(pipe.tokenizer, "a turquoise star, 青色的星"))

# %% half
half = StableDiffusionPipeline.from_pretrained(
    weights("diffusion", "shapes"), dtype=torch.bfloat16
)
half.set_progress_bar_config(disable=True)
drawn = {"single": pictures_for(pipe, prompts), "bfloat16": pictures_for(half, prompts)}
rows = {
    name: [
        sum(
            all(obeys(each, s).values()) for each, s in zip(images, asked, strict=True)
        ),
        np.abs(images.astype(float) - drawn["single"]).mean(),
    ]
    for name, images in drawn.items()
}
table(
    rows, ["precision", "right of 24", "mean difference of 255"], [".0f", ".2f"]
).show()
assert rows["bfloat16"][0] > 20
