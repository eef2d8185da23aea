# %% setup
from itertools import pairwise
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
from diffusers import StableDiffusionImg2ImgPipeline

from llm_tutorial.captions import token_ids
from llm_tutorial.data.shapes import (
    Scene,
    Thing,
    caption,
    draw,
)
from llm_tutorial.diffusion.autoencoder import latents_of
from llm_tutorial.diffusion.control import controlled, noise_for
from llm_tutorial.diffusion.pipeline import load_pipeline
from llm_tutorial.diffusion.spacing import spaced_timesteps
from llm_tutorial.plotting import image_grid, use_style
from llm_tutorial.results import weights

use_style()
torch.set_grad_enabled(False)
pipe = load_pipeline(weights("diffusion", "shapes"))
vae, unet, k = pipe.vae, pipe.unet, pipe.vae.config.scaling_factor
left = pipe.scheduler.alphas_cumprod
a, sigma = left.sqrt(), (1 - left).sqrt()  # signal and noise at each of 1,000 timesteps


# %% loop
def drawn(prompts, noise, negative="", w=2.0, steps=10,
          picture=None, strength=1.0, mask=None):  # fmt: skip
    ids = token_ids(pipe.tokenizer, [negative] * len(prompts) + prompts)
    states = pipe.text_encoder(ids).last_hidden_state
    times, x = spaced_timesteps("trailing", steps), noise
    if picture is not None:  # begin part of the way down
        kept = k * latents_of(vae, picture)
        times = times[steps - int(steps * strength) :]
        x = a[times[0]] * kept + sigma[times[0]] * noise  # (2)
    for t, s in pairwise([*times, None]):
        away, towards = unet(torch.cat([x, x]), t, states).sample.chunk(2)
        v = away + w * (towards - away)  # (1)
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
        if mask is not None:  # elsewhere the picture, as noisy as x is now
            old = kept if s is None else a[s] * kept + sigma[s] * noise
            x = mask * x + (1 - mask) * old  # (3)
    return (vae.decode(x / k).sample / 2 + 0.5).clamp(0, 1)


# %% handles
star = Scene((Thing("red", "star", "large", "centre"),))
prompt, noise = caption(star), noise_for(pipe, 1)
cross = Scene((Thing("blue", "cross", "large", "left"),))
old = torch.from_numpy(draw(cross)).permute(2, 0, 1)[None] / 127.5 - 1
beside = caption(Scene((Thing("blue", "cross"), Thing("red", "star")), "left of"))
half = torch.zeros(1, 1, 8, 8)
half[..., 4:] = 1
handles = {
    "as asked": drawn([prompt], noise),
    "w = 15": drawn([prompt], noise, w=15),
    "negative": drawn([prompt], noise, negative="a red star"),
    "2 steps": drawn([prompt], noise, steps=2),
    "other noise": drawn([prompt], noise_for(pipe, 1, seed=7)),
    "picture": drawn([prompt], noise, picture=old, strength=0.6),
    "mask": drawn([beside], noise, picture=old, mask=half),
}
image_grid(
    torch.stack(list(handles.values())).movedim(2, -1).numpy().swapaxes(0, 1),
    column_labels=list(handles),
)
plt.show()

# %% same
prompts = [
    caption(Scene((Thing(c, "star", "large", "centre"),))) for c in ("red", "blue")
]
noise = noise_for(pipe, 2)
asked = {"num_inference_steps": 10, "guidance_scale": 2.0, "output_type": "pt"}
from_noise = pipe(
    prompts, latents=noise, negative_prompt=["a ring"] * 2, **asked
).images
assert (drawn(prompts, noise, "a ring") - from_noise).abs().max() < 1e-5

from_picture = StableDiffusionImg2ImgPipeline(
    **pipe.components, requires_safety_checker=False
)
from_picture.set_progress_bar_config(disable=True)
pictures = old.expand(2, -1, -1, -1)
theirs = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img."
with (  # their encoder draws from the latent's distribution, and they draw noise anew
    patch(theirs + "retrieve_latents", lambda out, **_: out.latent_dist.mode()),
    patch(theirs + "randn_tensor", lambda *_, **__: noise),
):
    images = from_picture(
        prompts, image=(pictures + 1) / 2, strength=0.6, **asked
    ).images
ours = drawn(prompts, noise, picture=pictures, strength=0.6)
assert (ours - images).abs().max() < 1e-5

both = {"picture": pictures, "mask": half}
library = controlled(pipe, prompts, noise, **both)
assert torch.equal(drawn(prompts, noise, **both), library)

# %% guidance
looks = [("red", "star"), ("blue", "circle"), ("green", "ring"),
         ("yellow", "square"), ("purple", "cross"), ("black", "triangle")]  # fmt: skip
places = ["top left", "top", "centre", "bottom right", "left", "right"]
six = [
    Scene((Thing(*look, "large", place),))
    for look, place in zip(looks, places, strict=True)
]
prompts, noise = [caption(scene) for scene in six], noise_for(pipe, 6, seed=1)
scales = (1, 2, 5, 10, 15)
rows = torch.stack([drawn(prompts, noise, w=w) for w in scales])
image_grid(
    rows.movedim(2, -1), [f"w = {w}" for w in scales], [f"{c} {s}" for c, s in looks],
    size=0.7,
)  # fmt: skip
plt.show()

# %% open
count = 12
noise = noise_for(pipe, count, seed=2)
rows = {
    "nothing": drawn([""] * count, noise, w=1.0),
    "no colour": drawn(["a large star in the centre"] * count, noise),
    "no shape": drawn(["a large red thing in the centre"] * count, noise),
    "no place": drawn(["a large red star"] * count, noise),
}
image_grid(torch.stack(list(rows.values())).movedim(2, -1), list(rows), size=0.45)
plt.show()

# %% negative
rows = {
    "no negative": drawn([""] * count, noise, w=1.0),
    "a red star": drawn([""] * count, noise, "a red star"),
    "a blue circle": drawn([""] * count, noise, "a blue circle"),
}
image_grid(torch.stack(list(rows.values())).movedim(2, -1), list(rows), size=0.45)
plt.show()
one = ["a large red star in the centre"]
first = drawn(one, noise[:1], negative="a ring", w=1.0)
second = drawn(one, noise[:1], negative="a blue circle", w=1.0)
assert torch.allclose(first, second, atol=1e-5)  # at w = 1 (1) is v towards alone
