"""Where a word acts: the cross-attention of a U-Net, kept while it draws."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention
from torch import Tensor


class KeepingProcessor:
    """Diffusers' attention, written out, which keeps the probabilities of cross-attention.

    Args:
        kept: To this list they are added, (batch, heads, places, tokens) a call.
    """

    def __init__(self, kept: list[Tensor]) -> None:
        self.kept = kept

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """What the attention gives, of the shape of ``hidden_states``, (batch, places, width)."""
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(each) for each in (attn.to_q(hidden_states), attn.to_k(states), attn.to_v(states))
        )  # (batch · heads, places or tokens, width of a head)
        shares = attn.get_attention_scores(query, key, attention_mask)  # (batch · heads, places, tokens)
        if encoder_hidden_states is not None:
            self.kept.append(shares.detach().unflatten(0, (-1, attn.heads)))
        mixed: Tensor = attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(shares @ value)))
        return mixed


def word_maps(
    pipe: StableDiffusionPipeline, prompts: Sequence[str], latents: Tensor, steps: int = 10, guidance: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Draws, and says for each token where the picture looked at it.

    The mean over heads, steps and all layers at the side of the latent; of a place, the shares of all tokens add up
    to 1.

    Args:
        pipe: Its U-Net has the same attention afterwards as before.
        prompts: In either language.
        latents: The noise to begin with, (prompts, channels, side, side).
        steps: Of the sampler.
        guidance: Scale; above 1, so that the second half of a batch has the prompts.

    Returns:
        Pictures, (prompts, 3, height, width) from 0 to 1, and maps, (prompts, tokens, side, side).

    Raises:
        ValueError: The scale is not above 1.
    """
    if guidance <= 1:
        raise ValueError(f"a guidance above 1, not {guidance}\n引导强度应大于 1，而不是 {guidance}")
    kept: list[Tensor] = []
    before, side = pipe.unet.attn_processors, latents.shape[-1]
    pipe.unet.set_attn_processor(KeepingProcessor(kept))
    try:
        images = pipe(
            list(prompts), latents=latents, num_inference_steps=steps, guidance_scale=guidance, output_type="pt"
        ).images
    finally:
        pipe.unet.set_attn_processor(before)
    largest = [shares.chunk(2)[1].mean(1) for shares in kept if shares.shape[2] == side**2]
    maps = torch.stack(largest).mean(0)  # (prompts, places, tokens)
    return images, maps.mT.unflatten(2, (side, side))  # type: ignore[no-untyped-call]
