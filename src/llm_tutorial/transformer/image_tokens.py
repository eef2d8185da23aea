"""Pictures as tokens: a small autoencoder whose latent is one of a few hundred codes at each place.

``VectorQuantizer`` is that of VQ-VAE (van den Oord et al., 2017, arXiv:1711.00937), whose codebook is moved by a loss;
``AveragedQuantizer`` moves it by averages and starts unused codes anew (the same paper's appendix; restarts after
Dhariwal et al., 2020, arXiv:2005.00341). ``load_image_tokenizer`` loads what the page trained.
"""

from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.colour import to_lab
from llm_tutorial.results import weights

SIDE, CODES = 8, 512


class VectorQuantizer(nn.Module):
    """Puts the nearest code in the place of each vector; the gradient passes straight through.

    Args:
        codes: In the codebook.
        width: Of a code.
        commitment: Weight of the term that draws the vectors to their codes.

    Example:
        >>> quantizer = VectorQuantizer(codes=4, width=2)
        >>> quantized, codes, loss = quantizer(torch.zeros(1, 2, 8, 8))
        >>> quantized.shape, codes.shape
        (torch.Size([1, 2, 8, 8]), torch.Size([1, 8, 8]))
    """

    def __init__(self, codes: int = CODES, width: int = 16, commitment: float = 0.25) -> None:
        super().__init__()
        self.codebook, self.commitment = nn.Embedding(codes, width), commitment
        nn.init.uniform_(self.codebook.weight, -1 / codes, 1 / codes)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The number of the nearest code: of vectors (…, width), shape (…)."""
        codebook = self.codebook.weight  # |v - c|² = |v|² - 2 v·c + |c|², and |v|² is the same for all codes
        return (codebook.square().sum(1) - 2 * vectors @ codebook.T).argmin(-1)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of latents (batch, width, height, width): codes in their place, their numbers, and the loss."""
        vectors = latents.permute(0, 2, 3, 1)  # (batch, height, width, width of a code)
        codes = self.nearest(vectors)
        chosen = self.codebook(codes)
        loss = F.mse_loss(chosen, vectors.detach()) + self.commitment * F.mse_loss(vectors, chosen.detach())
        through = vectors + (chosen - vectors).detach()
        return through.permute(0, 3, 1, 2), codes, loss


class AveragedQuantizer(VectorQuantizer):
    """A codebook of running means: each code is the mean of the vectors that chose it.

    A code that is hardly ever chosen starts anew at a vector of the batch. In the first batch that is nearly every code.

    Args:
        codes: In the codebook.
        width: Of a code.
        commitment: Weight of the term that draws the vectors to their codes.
        decay: Share of the running sums that stays at a step.
        restart: A code chosen less often than this share of the mean starts anew; 0 leaves it.
    """

    counts: Tensor
    sums: Tensor

    def __init__(
        self, codes: int = CODES, width: int = 16, commitment: float = 0.25, decay: float = 0.99, restart: float = 0.05
    ) -> None:
        super().__init__(codes, width, commitment)
        start = self.codebook.weight.detach()
        del self.codebook.weight  # what no optimiser moves is a buffer
        self.codebook.register_buffer("weight", start)
        self.decay, self.restart = decay, restart
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of ``VectorQuantizer``, without the codebook's term in the loss; in training the codebook moves."""
        through, codes, loss = super().forward(latents)
        if self.training:
            self.move(latents.detach().permute(0, 2, 3, 1).flatten(0, 2), codes.flatten())
        return through, codes, loss

    @torch.no_grad()
    def move(self, vectors: Tensor, codes: Tensor) -> None:
        """Moves the codebook to the running means: vectors (vectors, width) that chose codes (vectors,)."""
        chosen = F.one_hot(codes, len(self.counts)).to(vectors)  # (vectors, codes)
        self.counts.lerp_(chosen.sum(0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ vectors, 1 - self.decay)
        mean = len(vectors) / len(self.counts)
        unused = self.counts < self.restart * mean
        if unused.any():
            drawn = torch.randint(len(vectors), (int(unused.sum()),))
            self.counts[unused] = mean
            self.sums[unused] = mean * vectors[drawn]
        known = self.counts > 0
        self.codebook.weight[known] = self.sums[known] / self.counts[known, None]


class Residual(nn.Module):
    """Two convolutions around which the input goes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, states: Tensor) -> Tensor:
        """Of the shape of ``states``."""
        return states + self.layers(states)


class VQAutoencoder(nn.Module):
    """Pictures of 32 × 32 to 8 × 8 codes, and back.

    Args:
        quantizer: Of vectors to codes.
        channels: At a side of 16 and of 8.

    Example:
        >>> vq = VQAutoencoder(VectorQuantizer(codes=16))
        >>> codes = vq.encode(torch.zeros(2, 3, 32, 32))
        >>> codes.shape, vq.decode(codes).shape
        (torch.Size([2, 64]), torch.Size([2, 3, 32, 32]))
    """

    def __init__(self, quantizer: VectorQuantizer, channels: tuple[int, int] = (48, 96)) -> None:
        super().__init__()
        wide, deep = channels
        width = quantizer.codebook.embedding_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(3, wide, 4, stride=2, padding=1), Residual(wide),
            nn.Conv2d(wide, deep, 4, stride=2, padding=1), Residual(deep),
            nn.GroupNorm(8, deep), nn.SiLU(), nn.Conv2d(deep, width, 1),
        )  # fmt: skip
        self.quantizer = quantizer
        self.decoder = nn.Sequential(
            nn.Conv2d(width, deep, 3, padding=1), Residual(deep), Residual(deep),
            nn.ConvTranspose2d(deep, wide, 4, stride=2, padding=1), Residual(wide), nn.GroupNorm(8, wide), nn.SiLU(),
            nn.ConvTranspose2d(wide, 3, 4, stride=2, padding=1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of pictures from -1 to 1: what comes back, the codes, and the quantiser's loss."""
        quantized, codes, loss = self.quantizer(self.encoder(images))
        return self.decoder(quantized), codes, loss

    @torch.no_grad()
    def encode(self, images: Tensor, batch: int = 64) -> Tensor:
        """The codes of pictures (pictures, 3, 32, 32) from -1 to 1, row by row: (pictures, 64)."""
        latents = [self.encoder(some).permute(0, 2, 3, 1) for some in images.split(batch)]
        return torch.cat([self.quantizer.nearest(each).flatten(1) for each in latents])

    @torch.no_grad()
    def decode(self, codes: Tensor, batch: int = 64) -> Tensor:
        """Pictures from -1 to 1 of codes (pictures, 64)."""
        side = round(codes.shape[1] ** 0.5)
        latents = self.quantizer.codebook(codes).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return torch.cat([self.decoder(some) for some in latents.split(batch)]).clamp(-1, 1)


def reconstruction_loss(model: nn.Module, batch: Sequence[Tensor], device: Any) -> Tensor:
    """The loss for ``llm_tutorial.training.fit``, summed over pictures: the distance in L*a*b* and the quantiser's."""
    images = torch.stack(list(batch)).to(device)
    made, _, loss = model(images)
    difference = ((to_lab(made) - to_lab(images)).square().sum(1) + 0.01).sqrt().mean()  # ΔE76
    beyond = (made - made.clamp(-1, 1)).abs().mean()  # where L*a*b* is blind
    return (difference / 20 + beyond + loss) * len(images)


class Recorded(nn.Module):
    """An autoencoder in training that keeps the perplexity of the codes of each batch, also when the run is interrupted.

    Args:
        vq: What is trained.
        steps: Of the training.
    """

    perplexities: Tensor
    step: Tensor

    def __init__(self, vq: VQAutoencoder, steps: int) -> None:
        super().__init__()
        self.vq = vq
        self.register_buffer("perplexities", torch.zeros(steps))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of the autoencoder."""
        made, codes, loss = self.vq(images)
        if self.training:
            self.perplexities[self.step] = perplexity(codes, self.vq.quantizer.codebook.num_embeddings)
            self.step += 1
        return made, codes, loss


def perplexity(codes: Tensor, size: int = CODES) -> float:
    """How many codes are in use: the exponential of the entropy of their frequencies, from 1 to ``size``.

    Example:
        >>> round(perplexity(torch.tensor([0, 1, 2, 3]), size=8), 3)
        4.0
    """
    shares = torch.bincount(codes.flatten(), minlength=size).double() / codes.numel()
    return float(torch.special.entr(shares).sum().exp())


def load_image_tokenizer() -> VQAutoencoder:
    """The autoencoder that this chapter trained on OpenMoji, in single precision, for use only.

    Example:
        >>> load_image_tokenizer().decode(torch.zeros(1, 64, dtype=torch.int64)).shape
        torch.Size([1, 3, 32, 32])
    """
    vq = VQAutoencoder(VectorQuantizer())
    saved = load_file(weights("transformer", "image_tokens") / "vq.safetensors")
    vq.load_state_dict({name: each.float() for name, each in saved.items()})
    return vq.requires_grad_(False).eval()
