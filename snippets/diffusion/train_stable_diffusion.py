"""Two changes to the pipeline of shapes, each tried in small: one seed, one rate.

A Transformer in place of the U-Net, of as many multiplications a step, and a U-Net
whose training dropped no caption. Scenes of one thing; the autoencoder is that of
``train_shapes.py``. Plan: 1,200 steps take seven or eight minutes of one core.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import PixArtTransformer2DModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
from llm_tutorial.data.shapes import WORDINGS, caption, draw, obeys, scenes
from llm_tutorial.diffusion.autoencoder import latents_of, load_autoencoder
from llm_tutorial.diffusion.guidance import guided
from llm_tutorial.diffusion.latent import (
    Denoiser,
    examples,
    latent_loss,
    noise_scheduler,
    u_net,
)
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.pictures import scaled
from llm_tutorial.results import PACKAGE
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay

STEPS, BATCH, RATE, PICTURES, ASKED = 1200, 64, 1e-3, 8_000, 150
GUIDANCE, LANGUAGES = (1.0, 2.0, 4.0, 8.0), ("en", "zh")

torch.set_num_threads(1)
long_run = LongRun("stable_diffusion", Path(__file__), probed_steps=4)
vae = load_autoencoder(PACKAGE / "diffusion" / "weights" / "shapes" / "vae")
train = scenes(PICTURES, things=1)
asked = {
    split: scenes(ASKED, split, seed=1, things=1)
    for split in ("validation", "combinations")
}
long_run.data = {"train": data_digest(train), "asked": data_digest(asked)}
captions = [
    [caption(s, lang, w) for lang in LANGUAGES for w in range(WORDINGS)] for s in train
]
tokenizer = caption_tokenizer(dict.fromkeys(text for each in captions for text in each))
ids = torch.stack([token_ids(tokenizer, each) for each in captions])
[empty] = token_ids(tokenizer, [""])
pictures = torch.from_numpy(np.stack([draw(s, seed=i) for i, s in enumerate(train)]))
latents = latents_of(vae, scaled(pictures.permute(0, 3, 1, 2)))
latents = latents * vae.config.scaling_factor
scheduler = noise_scheduler()


class Transformer(nn.Module):
    """Takes what a U-Net takes; every place of the latent is a token."""

    def __init__(self, width: int = 96, layers: int = 5) -> None:
        super().__init__()
        self.blocks = PixArtTransformer2DModel(
            num_layers=layers, num_attention_heads=4, attention_head_dim=width // 4,
            cross_attention_dim=width, caption_channels=96, in_channels=8,
            out_channels=8, sample_size=8, patch_size=1,
            use_additional_conditions=False,
        )  # fmt: skip

    def forward(self, noisy: Tensor, timesteps: Tensor, states: Tensor) -> object:
        """With ``sample``, of the shape of ``noisy``."""
        none = {"resolution": None, "aspect_ratio": None}
        return self.blocks(
            noisy,
            encoder_hidden_states=states,
            timestep=timesteps.expand(len(noisy)),
            added_cond_kwargs=none,
        )


@torch.no_grad()
def drawn(denoiser: Denoiser, prompts: list[str], scale: float) -> np.ndarray:
    """Pictures for prompts in ten steps of DDIM: (prompts, 32, 32, 3)."""
    x = torch.randn(len(prompts), 8, 8, 8, generator=torch.Generator().manual_seed(1))
    wanted = token_ids(tokenizer, prompts)
    scheduler.set_timesteps(10)
    for t in scheduler.timesteps:
        at = t.expand(len(prompts))
        velocity = denoiser(x, at, wanted)
        if scale != 1:
            without = denoiser(x, at, empty.expand(len(prompts), -1))
            velocity = guided(velocity, without, scale)
        x = scheduler.step(velocity, t, x).prev_sample
    images = vae.decode(x / vae.config.scaling_factor).sample
    images = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).numpy()


def obeyed(denoiser: Denoiser, scale: float) -> dict:
    """Share of pictures in which each attribute is right, and all are."""
    found = {}
    for language in LANGUAGES:
        for split, every in asked.items():
            some = long_run.few(every)
            images = drawn(denoiser, [caption(s, language) for s in some], scale)
            right = [obeys(image, s) for image, s in zip(images, some, strict=True)]
            shares = {k: float(np.mean([r[k] for r in right])) for k in right[0]}
            shares["all"] = float(np.mean([all(r.values()) for r in right]))
            found[f"{language}, {split}"] = shares
    return found


def measure(run: str, network: type, dropped: float) -> dict:
    torch.manual_seed(0)
    net = Transformer() if network is Transformer else u_net((48, 96), text_width=96)
    denoiser = Denoiser(net, text_encoder(tokenizer, 96))
    counter, plain = FlopCounterMode(display=False), sdpa_kernel(SDPBackend.MATH)
    with counter, plain, torch.no_grad():  # fused attention would not be counted
        denoiser.unet(torch.zeros(1, 8, 8, 8), torch.tensor(5), torch.zeros(1, 32, 96))

    def batch_at(step: int) -> list:
        chosen = torch.randint(PICTURES, (BATCH,))
        wording = torch.randint(ids.shape[1], (BATCH,))
        return examples(
            latents[chosen], ids[chosen, wording], empty, len(scheduler), dropped
        )

    optimizer = adamw(denoiser, RATE)
    losses = fit(
        denoiser, batch_at, optimizer, STEPS,
        linear_decay(optimizer, STEPS, warmup=100), long_run.state_of(run),
        save_every=100, description=run,
        loss_of=latent_loss(Schedule(scheduler.betas)), count=len,
    )  # fmt: skip
    denoiser.take_average()
    return {
        "losses": losses,
        "curve": [sum(losses[i : i + 50]) / 50 for i in range(0, STEPS, 50)],
        "parameters": sum(p.numel() for p in net.parameters()),
        "flop": counter.get_total_flops(),
        "obeyed": {f"{scale:g}": obeyed(denoiser, scale) for scale in GUIDANCE},
    }


for run, network, dropped in (
    ("U-Net", u_net, 0.12),
    ("no caption dropped", u_net, 0.0),
    ("Transformer", Transformer, 0.12),
):
    long_run.measure(run, partial(measure, run, network, dropped))
long_run.finish(seeds=[0], steps=STEPS, rate=RATE)
