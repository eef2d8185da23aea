"""The autoencoder between pictures and latents: a small ``diffusers.AutoencoderKL``, and what it is trained on.

A picture of 32×32 becomes a latent of 8×8. Whatever is lost here no diffusion model brings back, so the loss is what is
seen: the distance in L*a*b*, in which faint and strong colours count as the eye counts them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from llm_tutorial.colour import to_lab


def autoencoder(
    channels: Sequence[int] = (32, 64, 128), latent_channels: int = 8, groups: int = 8, layers: int = 1
) -> AutoencoderKL:
    """An untrained autoencoder, whose residual blocks begin as the identity.

    Args:
        channels: Of each resolution, from the picture down; every one but the first halves the side.
        latent_channels: Of the latent.
        groups: Of its group norms.
        layers: Residual blocks a resolution.

    Example:
        >>> vae = autoencoder((8, 16))
        >>> vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mode().shape
        torch.Size([1, 8, 16, 16])
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=tuple(channels),
        layers_per_block=layers,
        latent_channels=latent_channels,
        norm_num_groups=groups,
        sample_size=32,
        scaling_factor=1.0,
    )
    for block in vae.modules():
        if isinstance(block, ResnetBlock2D):
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(block.conv2.bias)
    return vae.eval()


class Reconstruction(nn.Module):
    """An autoencoder in training: a picture goes through its latent, drawn at random, and back.

    Args:
        vae: What is trained.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What comes back, of the shape of ``images``, and the KL term of each picture in nats, (batch,)."""
        latents = self.vae.encode(images).latent_dist
        return self.vae.decode(latents.mean + latents.std * noise).sample, latents.kl()


def reconstruction_loss(kl_weight: float = 1e-6, saturated: float = 1.0) -> Callable[[nn.Module, Any, Any], Tensor]:
    """The loss for ``llm_tutorial.training.fit``, whose examples are pairs of a picture and the noise of its latent.

    The distance in L*a*b* is that of a pixel, weighted by its chroma in the real picture; where a value leaves the range
    of a picture, in which L*a*b* is blind, what is beyond it is added.

    Args:
        kl_weight: Of the KL term against a standard normal, for each picture.
        saturated: How much more a pixel with a chroma of 100 counts than a grey one.
    """

    def loss_of(model: nn.Module, batch: Sequence[tuple[Tensor, Tensor]], device: Any) -> Tensor:
        images, noise = (torch.stack(each).to(device) for each in zip(*batch, strict=True))
        made, kl = model(images, noise)
        lab, real = to_lab(made), to_lab(images)
        difference = ((lab - real).square().sum(1) + 0.01).sqrt()  # (batch, height, width)
        weights = 1 + saturated * torch.hypot(real[:, 1], real[:, 2]) / 100
        beyond = (made - made.clamp(-1, 1)).abs().mean(1)
        return ((difference * weights / 20 + beyond).mean((1, 2)) + kl_weight * kl).sum()

    return loss_of


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: Tensor, batch: int = 64) -> Tensor:
    """Pictures through the middle of their latents and back, of the shape of ``images``."""
    through = [vae.decode(vae.encode(some).latent_dist.mode()).sample for some in images.split(batch)]
    return torch.cat(through).clamp(-1, 1)


@torch.no_grad()
def latents_of(vae: AutoencoderKL, images: Tensor, batch: int = 64) -> Tensor:
    """The middle of each picture's latent, not scaled: (pictures, latent channels, height, width).

    Example:
        >>> latents_of(autoencoder((8, 16)), torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 8, 4, 4])
    """
    return torch.cat([vae.encode(some).latent_dist.mode() for some in images.split(batch)])


def set_scale(vae: AutoencoderKL, latents: Tensor) -> None:
    """Sets the scaling factor with which latents have a standard deviation of 1, as diffusion expects.

    Args:
        vae: Its configuration is changed.
        latents: Of its training pictures.

    Example:
        >>> vae = autoencoder((8, 16))
        >>> set_scale(vae, torch.tensor([-2.0, 2.0]))
        >>> round(vae.config.scaling_factor, 3)
        0.5
    """
    vae.register_to_config(scaling_factor=1 / latents.std(correction=0).item())


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """A saved autoencoder, in single precision whatever its file has.

    Args:
        folder: Where ``save_pretrained`` wrote it.
    """
    return AutoencoderKL.from_pretrained(folder, dtype=torch.float32).eval()
