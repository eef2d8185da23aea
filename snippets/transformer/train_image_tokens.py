"""The image tokenizer: OpenMoji pictures of 32 × 32 to 8 × 8 of 512 codes and back.

One seed, a quarter of an hour of one core. The codebook is moved by running means, and
unused codes start anew. How many codes each batch used is kept for every step.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from llm_tutorial.colour import colour_difference, difference_by_hue
from llm_tutorial.data.openmoji import TONES, openmoji
from llm_tutorial.pictures import Shares, picture_tensor, scaled
from llm_tutorial.runs import LongRun, data_digest
from llm_tutorial.training import adamw, fit, linear_decay
from llm_tutorial.transformer.image_tokens import (
    AveragedQuantizer,
    Recorded,
    VectorQuantizer,
    VQAutoencoder,
    perplexity,
    reconstruction_loss,
)

STEPS, BATCH, RATE = 4000, 32, 2e-3

torch.set_num_threads(1)
long_run = LongRun("image_tokens", Path(__file__), probed_steps=8)
split = {name: openmoji(name, "combination") for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
pictures = picture_tensor(split["train"])
shares = Shares(split["train"])


def batch_at(step):
    return list(scaled(pictures[shares.batch(step, BATCH)]))


def quality(vq, chosen):
    real = scaled(picture_tensor(chosen))
    made = vq.decode(vq.encode(real))
    each = colour_difference(made, real).mean((1, 2))  # (pictures,)
    tones = {
        tone: each[[i for i, picture in enumerate(chosen) if picture.tones == (tone,)]]
        for tone in TONES.values()
    }
    return difference_by_hue(made, real) | {
        "tones": {
            tone: float(found.mean()) for tone, found in tones.items() if len(found)
        }
    }


def measure(run):
    torch.manual_seed(0)
    recorded = Recorded(VQAutoencoder(AveragedQuantizer()), STEPS)
    optimizer = adamw(recorded, RATE)
    losses = fit(
        recorded, batch_at, optimizer, STEPS, linear_decay(optimizer, STEPS, 100),
        long_run.state_of(run), save_every=200, description=run,
        loss_of=reconstruction_loss, count=len,
    )  # fmt: skip
    trained = recorded.vq
    kept = VQAutoencoder(VectorQuantizer()).state_dict()
    half = {name: trained.state_dict()[name].half() for name in kept}
    long_run.folder.mkdir(parents=True, exist_ok=True)
    save_file(half, long_run.folder / "vq.safetensors")
    vq = VQAutoencoder(VectorQuantizer()).eval()
    vq.load_state_dict({name: each.float() for name, each in half.items()})
    some = long_run.few(split["train"], 64)
    codes = vq.encode(scaled(picture_tensor(some)))
    return {
        "losses": losses,
        "curve": recorded.perplexities.tolist()[::20],
        "train_perplexity": perplexity(codes),
        "codes_used": len(codes.unique()),
        "train": quality(vq, some[::8]),
        "test": quality(vq, long_run.few(split["test"], 64)),
    }


long_run.measure("averages and restarts", lambda: measure("averages and restarts"))
long_run.finish(seeds=[0], steps=STEPS)
