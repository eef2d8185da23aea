"""How a codebook is trained decides how much of it is used: three ways, three seeds.

By the loss of VQ-VAE alone, by running means, and by running means with restarts of
unused codes. Same autoencoder, same steps, same rate and batches. Ten minutes of one
core.
"""

from pathlib import Path

import torch

from llm_tutorial.colour import colour_difference
from llm_tutorial.data.openmoji import openmoji
from llm_tutorial.experiments import with_seeds
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

STEPS, BATCH, RATE, SEEDS = 500, 16, 2e-3, range(3)
QUANTIZERS = {
    "loss": VectorQuantizer,
    "means": lambda: AveragedQuantizer(restart=0),
    "means, restarts": AveragedQuantizer,
}

torch.set_num_threads(1)
long_run = LongRun("codebooks", Path(__file__), probed_steps=3)
split = {name: openmoji(name, "combination") for name in ("train", "test")}
long_run.data = {name: data_digest(split[name]) for name in split}
pictures = picture_tensor(split["train"])


def train(name, variant, seed):
    torch.manual_seed(seed)
    recorded = Recorded(VQAutoencoder(QUANTIZERS[variant]()), STEPS)
    optimizer = adamw(recorded, RATE)
    shares = Shares(split["train"], seed=seed)
    losses = fit(
        recorded, lambda step: list(scaled(pictures[shares.batch(step, BATCH)])),
        optimizer, STEPS, linear_decay(optimizer, STEPS, 100), long_run.state_of(name),
        seed, save_every=100, description=name, loss_of=reconstruction_loss, count=len,
    )  # fmt: skip
    vq = recorded.vq
    real = scaled(picture_tensor(long_run.few(split["test"], 32)))
    codes = vq.encode(real)
    return {
        "losses": losses,
        "curve": recorded.perplexities.tolist()[::4],
        "perplexity": perplexity(codes),
        "codes_used": len(codes.unique()),
        "difference": float(colour_difference(vq.decode(codes), real).mean()),
    }


with_seeds(long_run, list(QUANTIZERS), SEEDS, train)
long_run.finish(seeds=list(SEEDS), steps=STEPS)
