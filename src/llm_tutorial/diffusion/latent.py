"""Training of the diffusion itself: a U-Net and a text encoder on scaled latents, with dropped captions and an average.

The parts are Diffusers' and Transformers' own, so that what was trained is a ``StableDiffusionPipeline``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from llm_tutorial.diffusion.losses import Prediction, diffusion_loss
from llm_tutorial.diffusion.schedule import Schedule


class Example(NamedTuple):
    """What a step of training needs of one picture.

    Attributes:
        latent: Scaled, (channels, height, width).
        noise: Of the same shape.
        timestep: A number, from 0.
        ids: Token ids of its caption, or of an empty one.
    """

    latent: Tensor
    noise: Tensor
    timestep: Tensor
    ids: Tensor


def u_net(
    channels: Sequence[int] = (96, 128, 160), text_width: int = 128, side: int = 8, latent_channels: int = 8,
    heads: int = 4, groups: int = 16, layers: int = 1,
) -> UNet2DConditionModel:  # fmt: skip
    """An untrained U-Net with cross-attention at every resolution but the lowest.

    Args:
        channels: Of each resolution, from the latent down.
        text_width: Of the states of the text encoder.
        side: Of the latent.
        latent_channels: Of the latent.
        heads: Attention heads of each block.
        groups: Of its group norms.
        layers: Residual blocks a resolution.

    Example:
        >>> unet = u_net((16, 16), text_width=8, groups=8)
        >>> unet(torch.zeros(1, 8, 8, 8), 5, torch.zeros(1, 3, 8)).sample.shape
        torch.Size([1, 8, 8, 8])
    """
    crossed = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(channels),
        layers_per_block=layers,
        down_block_types=("CrossAttnDownBlock2D",) * crossed + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * crossed,
        cross_attention_dim=text_width,
        attention_head_dim=heads,
        norm_num_groups=groups,
    ).eval()


def noise_scheduler() -> DDIMScheduler:
    """Stable Diffusion's schedule with zero terminal SNR, for a network that predicts the velocity.

    Example:
        >>> float(noise_scheduler().alphas_cumprod[-1])
        0.0
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=True,
    )


class Denoiser(nn.Module):
    """U-Net and text encoder as one network, with a moving average of its parameters [Ho et al. 2020].

    The average is kept as buffers, so that ``llm_tutorial.training.fit`` saves it with the state of a training; it is
    moved at each forward pass in training.

    Args:
        unet: Predicts.
        text_encoder: Reads the captions.
        decay: Share of the average that stays at a step; smaller in the first steps.

    Example:
        >>> from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
        >>> tokenizer = caption_tokenizer(["a red heart"], max_length=6)
        >>> denoiser = Denoiser(u_net((16, 16), text_width=16, groups=8), text_encoder(tokenizer, 16))
        >>> denoiser(torch.zeros(2, 8, 8, 8), torch.tensor([0, 9]), token_ids(tokenizer, ["red", ""])).shape
        torch.Size([2, 8, 8, 8])
    """

    moved: Tensor

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, decay: float = 0.999) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.decay = unet, text_encoder, decay
        self._trained = dict(self.named_parameters())
        for name, parameter in self._trained.items():
            self.register_buffer(_plain(name), parameter.detach().clone())
        self.register_buffer("moved", torch.zeros((), dtype=torch.int64))

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """The prediction, of the shape of ``noisy``; timesteps are (batch,), ids (batch, tokens)."""
        if self.training:
            self._move()
        states = self.text_encoder(ids).last_hidden_state  # (batch, tokens, text width)
        return self.unet(noisy, timesteps, states).sample

    @torch.no_grad()
    def take_average(self) -> None:
        """Puts the average in place of the parameters."""
        for name, parameter in self._trained.items():
            parameter.copy_(self.get_buffer(_plain(name)))

    @torch.no_grad()
    def _move(self) -> None:
        self.moved += 1
        moved = int(self.moved)
        share = 1 - min(self.decay, moved / (moved + 10))
        averages = [self.get_buffer(_plain(name)) for name in self._trained]
        torch._foreach_lerp_(averages, [parameter.detach() for parameter in self._trained.values()], share)


def latent_loss(schedule: Schedule, kind: Prediction = "v_prediction") -> Callable[[nn.Module, Any, Any], Tensor]:
    """The loss for ``llm_tutorial.training.fit``: the squared errors of examples, summed.

    Args:
        schedule: Of the forward process.
        kind: What the U-Net predicts.
    """

    def loss_of(model: nn.Module, batch: Sequence[Example], device: Any) -> Tensor:
        latent, noise, timesteps, ids = (torch.stack(each).to(device) for each in zip(*batch, strict=True))
        return diffusion_loss(lambda noisy, t: model(noisy, t, ids), latent, noise, timesteps, schedule, kind).sum()

    return loss_of


def examples(latents: Tensor, ids: Tensor, empty: Tensor, steps: int, dropped: float = 0.12) -> list[Example]:
    """Draws noise and timesteps for pictures, and drops captions, from PyTorch's own generator.

    Args:
        latents: Scaled, (batch, channels, height, width).
        ids: Token ids, (batch, tokens).
        empty: Token ids of an empty prompt, (tokens,).
        steps: Of the forward process.
        dropped: Share of the captions that are left out, for classifier-free guidance [Ho & Salimans 2022].

    Example:
        >>> [one] = examples(torch.zeros(1, 8, 4, 4), torch.ones(1, 3), torch.zeros(3), steps=1000, dropped=1.0)
        >>> one.ids
        tensor([0., 0., 0.])
    """
    noise = torch.randn_like(latents)
    timesteps = torch.randint(steps, (len(latents),))
    kept = (torch.rand(len(latents)) >= dropped)[:, None]
    return [Example(*each) for each in zip(latents, noise, timesteps, torch.where(kept, ids, empty), strict=True)]


def _plain(name: str) -> str:
    return f"average {name}".replace(".", "/")
