"""Stable Diffusion on OpenMoji: text encoder and U-Net on the autoencoder's latents.

One seed, a long run: about three hours of one core. ``train_autoencoder.py`` comes
first: its weights lie in the folder ``vae`` of this pipeline. Every picture is
encoded once.
"""

from pathlib import Path

import numpy as np
import torch

from llm_tutorial.data.openmoji import openmoji, prompt
from llm_tutorial.diffusion.autoencoder import latents_of, load_autoencoder
from llm_tutorial.diffusion.latent import (
    Denoiser,
    Example,
    examples,
    latent_loss,
    noise_scheduler,
    u_net,
)
from llm_tutorial.pictures import Shares, by_subject, picture_tensor, scaled
from llm_tutorial.diffusion.pipeline import assemble, save_pipeline
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
from llm_tutorial.results import PACKAGE
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, RATE = 12_000, 64, 7e-4
LANGUAGES = ("en", "zh")

torch.set_num_threads(1)
long_run = LongRun("pipeline", Path(__file__), probed_steps=4)
split = {name: openmoji(name, "combination") for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
scheduler = noise_scheduler()
loss_of = latent_loss(Schedule(scheduler.betas))
vae = load_autoencoder(PACKAGE / "diffusion" / "weights" / "pipeline" / "vae")
tokenizer = caption_tokenizer(
    [prompt(p, lang) for p in openmoji() for lang in LANGUAGES]
)
[empty] = token_ids(tokenizer, [""])
shares = Shares(split["train"], by_subject(split["train"]))
latents, ids = {}, {}
for name, pictures in split.items():
    encoded = latents_of(vae, scaled(picture_tensor(pictures)))
    latents[name] = encoded * vae.config.scaling_factor  # (pictures, 8, 8, 8)
    both = [
        token_ids(tokenizer, [prompt(p, lang) for lang in LANGUAGES]) for p in pictures
    ]
    ids[name] = torch.stack(both)  # (pictures, languages, 32)


def batch_at(step: int) -> list[Example]:
    chosen = shares.batch(step, BATCH)
    language = torch.randint(len(LANGUAGES), (BATCH,))
    return examples(
        latents["train"][chosen], ids["train"][chosen, language], empty, len(scheduler)
    )


@torch.no_grad()
def loss_on(denoiser: Denoiser, name: str) -> dict[str, float]:
    """Mean loss over pictures and timesteps, the same noise for every language."""
    found = {}
    for number, language in enumerate(LANGUAGES):
        generator = np.random.default_rng(0)
        losses = []
        for index in long_run.few(
            range(0, len(split[name]), 4 if name == "train" else 1), 32
        ):
            noise = torch.from_numpy(
                generator.standard_normal((8, 8, 8, 8), np.float32)
            )
            timesteps = torch.arange(62, len(scheduler), 125)
            pair = latents[name][index], ids[name][index, number]
            batch = [
                Example(pair[0], *each, pair[1])
                for each in zip(noise, timesteps, strict=True)
            ]
            losses.append(loss_of(denoiser, batch, "cpu").item() / len(batch))
        found[language] = float(np.mean(losses))
    return found


def measure(run: str) -> dict:
    torch.manual_seed(0)
    words = text_encoder(tokenizer, width=128, layers=3)
    denoiser = Denoiser(u_net((96, 128, 160), text_width=128), words)
    optimizer = adamw(denoiser, RATE)
    losses = fit(
        denoiser, batch_at, optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=300), long_run.state_of(run),
        save_every=250, description=run, loss_of=loss_of, count=len,
    )  # fmt: skip
    last = {name: loss_on(denoiser, name) for name in split}
    denoiser.take_average()
    pipe = assemble(vae, denoiser.text_encoder, tokenizer, denoiser.unet, scheduler)
    save_pipeline(pipe, long_run.folder)
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 250]) / 250 for i in range(0, STEPS, 250)],
        "last": last,
        "average": {name: loss_on(denoiser, name) for name in split},
        "parameters": {
            name: sum(p.numel() for p in part.parameters())
            for name, part in (("unet", pipe.unet), ("text_encoder", pipe.text_encoder))
        },
    }


long_run.measure("long", lambda: measure("long"))
long_run.finish(seeds=[0], steps=STEPS)
