"""The autoencoder of OpenMoji: 32×32×3 bytes to a latent of 8×8×8 and back.

One seed, a long run: two to three hours of one core. Skin tones have their share of
the batches, and the loss is the distance in L*a*b*; strong colours weigh double. The
weights are the folder ``vae`` of the pipeline that ``train_pipeline.py`` trains.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from llm_tutorial.data.openmoji import TONES, Picture, openmoji
from llm_tutorial.diffusion.autoencoder import (
    Reconstruction,
    autoencoder,
    latents_of,
    load_autoencoder,
    reconstruct,
    reconstruction_loss,
    set_scale,
)
from llm_tutorial.colour import colour_difference, difference_by_hue
from llm_tutorial.pictures import Shares, picture_tensor, scaled
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, RATE, CHANNELS = 24_000, 24, 2e-3, (24, 64, 96)

torch.set_num_threads(1)
long_run = LongRun("autoencoder", Path(__file__), probed_steps=8)
split = {name: openmoji(name, "combination") for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
pictures = picture_tensor(split["train"])
shares = Shares(split["train"])


def batch_at(step: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    images = scaled(pictures[shares.batch(step, BATCH)])
    return list(zip(images, torch.randn(BATCH, 8, 8, 8), strict=True))


def quality(vae: torch.nn.Module, chosen: Sequence[Picture]) -> dict:
    """ΔE76 over all pixels, over saturated ones of each hue, and on people."""
    real = scaled(picture_tensor(chosen))
    made = reconstruct(vae, real)
    each = colour_difference(made, real).mean((1, 2))  # (pictures,)
    tones = {}
    for tone in TONES.values():
        here = torch.tensor([picture.tones == (tone,) for picture in chosen])
        tones[tone] = each[here].mean().item()
    return difference_by_hue(made, real) | {"tones": tones}


def measure(run: str) -> dict:
    torch.manual_seed(0)
    vae = autoencoder(CHANNELS)
    optimizer = adamw(vae, RATE)
    losses = fit(
        Reconstruction(vae), batch_at, optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=100), long_run.state_of(run),
        save_every=250, description=run, loss_of=reconstruction_loss(), count=len,
    )  # fmt: skip
    some = long_run.few(range(len(pictures)), 64)
    latents = latents_of(vae, scaled(pictures[list(some)]))
    set_scale(vae, latents)
    folder = long_run.folder.parent / "pipeline" / "vae"
    vae.half().save_pretrained(folder)
    half = load_autoencoder(folder)
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 250]) / 250 for i in range(0, STEPS, 250)],
        "scaling_factor": half.config.scaling_factor,
        "channel_std": latents.std((0, 2, 3)).tolist(),
        "train": quality(half, long_run.few(split["train"][::8], 64)),
        "test": quality(half, long_run.few(split["test"], 64)),
    }


long_run.measure("long", lambda: measure("long"))
long_run.finish(seeds=[0], steps=STEPS)
