"""A whole small Stable Diffusion on captioned shapes: autoencoder, text encoder, U-Net.

The autoencoder is trained once, about twenty minutes of an idle core; U-Net and text
encoder about an hour for each run. The pipeline of seed 0 is kept.

Two things stand left of, right of, above or below each other. Where all four come
equally often, which thing is where hangs on the order of the words *and* on the
relation, as in an exclusive or: alone, neither says anything, and the network stays
at chance (run ``balanced``). Where three of four captions say "left of" or "above",
the order alone says something, it is learned, and then the exceptions are.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
from llm_tutorial.colour import difference_by_hue
from llm_tutorial.data.shapes import WORDINGS, Scene, caption, draw, scenes
from llm_tutorial.diffusion.autoencoder import (
    Reconstruction,
    autoencoder,
    latents_of,
    load_autoencoder,
    reconstruct,
    reconstruction_loss,
    set_scale,
)
from llm_tutorial.diffusion.latent import (
    Denoiser,
    examples,
    latent_loss,
    noise_scheduler,
    u_net,
)
from llm_tutorial.diffusion.pipeline import assemble, pictures_for, save_pipeline
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.diffusion.small_shapes import adherence
from llm_tutorial.pictures import scaled
from llm_tutorial.results import PACKAGE
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

VAE_STEPS, STEPS, SEEDS, BATCH, RATE = 4000, 8000, range(1), 64, 1e-3
PICTURES, ASKED, GUIDANCE = 30_000, 150, (1.0, 2.0, 4.0, 8.0)
LANGUAGES = ("en", "zh")
KEPT = PACKAGE / "diffusion" / "weights" / "shapes"  # a probe reads from here, too

torch.set_num_threads(1)
long_run = LongRun("shapes", Path(__file__), probed_steps=4)
balanced = scenes(PICTURES)
draws = np.random.default_rng(0)
two = [  # "left of" and "above" three times as often as "right of" and "below"
    scene
    for scene in scenes(PICTURES, things=2)
    if scene.relation in ("left of", "above") or draws.random() < 1 / 3
]
leaning = scenes(PICTURES // 2, things=1) + two[: PICTURES // 2]
asked = {
    f"{count} of {split}": scenes(ASKED, split, seed=1, things=count)
    for split in ("validation", "combinations")
    for count in (1, 2)
}
long_run.data = {
    "balanced": data_digest(balanced),
    "leaning": data_digest(leaning),
    "asked": data_digest(asked),
}


def captions(scene: Scene) -> list[str]:
    """All wordings in both languages: six."""
    return [caption(scene, lang, w) for lang in LANGUAGES for w in range(WORDINGS)]


def drawn(train: list[Scene]) -> torch.Tensor:
    """Of shape (pictures, 3, 32, 32)."""
    images = torch.from_numpy(np.stack([draw(s, seed=i) for i, s in enumerate(train)]))
    return images.permute(0, 3, 1, 2).contiguous()


if (KEPT / "tokenizer").exists():  # made anew, a few words have other numbers
    tokenizer = CLIPTokenizer.from_pretrained(KEPT / "tokenizer")
else:
    texts = dict.fromkeys(text for scene in balanced for text in captions(scene))
    tokenizer = caption_tokenizer(texts)
    tokenizer.save_pretrained(KEPT / "tokenizer")
[empty] = token_ids(tokenizer, [""])


def train_vae(run: str) -> dict:
    pictures = drawn(balanced)

    def batch_at(step: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        images = scaled(pictures[torch.randint(PICTURES, (24,))])
        return list(zip(images, torch.randn(24, 8, 8, 8), strict=True))

    torch.manual_seed(0)
    vae = autoencoder((16, 32, 64))
    optimizer = adamw(vae, 2e-3)
    losses = fit(
        Reconstruction(vae), batch_at, optimizer, VAE_STEPS,
        linear_decay(optimizer, VAE_STEPS, warmup=100), long_run.state_of(run),
        save_every=250, description=run, loss_of=reconstruction_loss(), count=len,
    )  # fmt: skip
    vae.cpu()
    set_scale(vae, latents_of(vae, scaled(pictures[::100])))
    vae.half().save_pretrained(long_run.folder / "vae")
    real = scaled(pictures[::100])
    made = reconstruct(load_autoencoder(long_run.folder / "vae"), real)
    return {"losses": losses, **difference_by_hue(made, real)}


def train_denoiser(run: str, train: list[Scene], seed: int) -> dict:
    vae = load_autoencoder(KEPT / "vae")
    vae.register_to_config(_name_or_path="")  # else it keeps where this machine had it
    latents = latents_of(vae, scaled(drawn(train))) * vae.config.scaling_factor
    ids = torch.stack([token_ids(tokenizer, captions(s)) for s in train])
    scheduler = noise_scheduler()

    def batch_at(step: int) -> list:
        chosen = torch.randint(PICTURES, (BATCH,))
        wording = torch.randint(ids.shape[1], (BATCH,))
        return examples(latents[chosen], ids[chosen, wording], empty, len(scheduler))

    torch.manual_seed(seed)
    denoiser = Denoiser(u_net((64, 128), text_width=96), text_encoder(tokenizer, 96))
    optimizer = adamw(denoiser, RATE)
    losses = fit(
        denoiser, batch_at, optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=200), long_run.state_of(run), seed,
        save_every=250, description=run,
        loss_of=latent_loss(Schedule(scheduler.betas)), count=len,
    )  # fmt: skip
    denoiser.cpu().take_average()
    pipe = assemble(vae, denoiser.text_encoder, tokenizer, denoiser.unet, scheduler)
    kept = train is leaning and seed == 0
    with TemporaryDirectory() as other:  # saving rounds: all are measured in half
        save_pipeline(pipe, long_run.folder if kept else Path(other))
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 250]) / 250 for i in range(0, STEPS, 250)],
        "obeyed": {f"{scale:g}": obeyed(pipe, scale) for scale in GUIDANCE},
    }


def obeyed(pipe: StableDiffusionPipeline, guidance: float) -> dict:
    """Share of pictures in which an attribute is right, and all are, at 10 steps."""
    found = {}
    for language in LANGUAGES:
        for name, every in asked.items():
            some = long_run.few(every)
            prompts = [caption(scene, language) for scene in some]
            images = pictures_for(pipe, prompts, steps=10, guidance=guidance, seed=1)
            found[f"{language}, {name}"] = adherence(images, some)
    return found


long_run.measure("vae", partial(train_vae, "vae"))
for seed in SEEDS:
    run = f"pipeline, seed {seed}"
    long_run.measure(run, partial(train_denoiser, run, leaning, seed))
long_run.measure("balanced", partial(train_denoiser, "balanced", balanced, 0))
long_run.finish(
    seeds=list(SEEDS), steps=STEPS, vae_steps=VAE_STEPS,
    note="begun before the tokenizer was kept: 'in', 'is' and 'it' had other numbers, "
    "of seed 0 until step 3,750; so the first losses of these two runs are left out",
)  # fmt: skip
