"""One sampling loop with every handle that needs no training: guidance, negative prompt, a picture to start from, a mask.

Equal to Diffusers' ``StableDiffusionPipeline``, ``StableDiffusionImg2ImgPipeline`` and
``StableDiffusionInpaintPipeline`` with the DDIM scheduler; theirs repaints only with U-Nets of 4 or 9 channels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.nn import functional as F

from llm_tutorial.captions import token_ids
from llm_tutorial.diffusion.autoencoder import latents_of
from llm_tutorial.diffusion.checks import check_request
from llm_tutorial.diffusion.guidance import guided
from llm_tutorial.diffusion.spacing import spaced_timesteps


def noise_for(pipe: StableDiffusionPipeline, count: int, seed: int = 0) -> Tensor:
    """Noise for some pictures, (count, channels, side, side): the first ones are the same however many there are.

    Args:
        pipe: Whose U-Net says the shape.
        count: Pictures.
        seed: Of the noise.
    """
    shape = (pipe.unet.config.in_channels, pipe.unet.config.sample_size, pipe.unet.config.sample_size)
    generators = [torch.Generator().manual_seed(1_000_003 * seed + place) for place in range(count)]
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def latent_mask(mask: Tensor, side: int, whole: bool = True) -> Tensor:
    """A mask of pixels as a mask of latent cells, (…, side, side).

    Args:
        mask: 1 where a picture is drawn anew, 0 where it is kept, (…, height, width).
        side: Of the latent.
        whole: A cell counts if any of its pixels does; otherwise if its middle does, as Diffusers takes it.

    Raises:
        ValueError: The mask is no multiple of the latent's side.

    Example:
        >>> mask = torch.zeros(1, 4, 4)
        >>> mask[0, 0, 1] = 1
        >>> latent_mask(mask, 2).tolist(), latent_mask(mask, 2, whole=False).tolist()
        ([[[1.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]])
    """
    height, width = mask.shape[-2:]
    if height != width or height % side:
        raise ValueError(
            f"a square mask whose side is a multiple of {side}, not {height} × {width}\n"
            f"蒙版应是正方形，边长是 {side} 的倍数，而不是 {height} × {width}"
        )
    if whole:
        return F.max_pool2d(mask.float(), height // side)
    return F.interpolate(mask.float()[None], side)[0] if mask.ndim == 3 else F.interpolate(mask.float(), side)


@torch.no_grad()
def controlled(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    noise: Tensor,
    negative: str | Sequence[str] = "",
    guidance: float = 2.0,
    rescale: float = 0.0,
    steps: int = 10,
    picture: Tensor | None = None,
    strength: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Draws a picture for each prompt. Numbers in brackets are the formulas of the page on control.

    Args:
        pipe: A pipeline whose U-Net predicts the velocity.
        prompts: In either language.
        noise: To begin with, (prompts, channels, side, side).
        negative: What guidance leads away from: one text for all, or one for each.
        guidance: Scale; at 1 the negative prompt does nothing.
        rescale: How far guided predictions get the conditional ones' standard deviation back, from 0 to 1.
        steps: Of the whole schedule.
        picture: To start from, (prompts, 3, height, width) from -1 to 1; only the last ``strength`` of the steps are done.
        strength: From 0, which leaves the picture, to 1.
        mask: Of the latent, (prompts or 1, 1, side, side): 1 where the picture is drawn anew, 0 where it is kept.

    Returns:
        (prompts, 3, height, width) from 0 to 1.

    Raises:
        ValueError: What ``check_request`` finds, another number of noises or negative prompts, a strength out of range or
            too small for one step, a mask without a picture, or one of another side than the latent.
    """
    check_request(pipe, prompts, steps)
    without = [negative] * len(prompts) if isinstance(negative, str) else list(negative)
    _check(len(prompts), noise, without, steps, picture, strength, mask)
    left = pipe.scheduler.alphas_cumprod
    a, sigma, k = left.sqrt(), (1 - left).sqrt(), pipe.vae.config.scaling_factor
    # 1. the words: those to lead away from, and those to lead to
    states = pipe.text_encoder(token_ids(pipe.tokenizer, [*without, *prompts])).last_hidden_state
    # 2. the start: noise, or the picture with noise, part of the way down (2)
    times = spaced_timesteps("trailing", steps, len(left))
    x = noise
    if picture is not None:
        kept = k * latents_of(pipe.vae, picture)
        times = times[steps - int(steps * strength) :]
        x = a[times[0]] * kept + sigma[times[0]] * noise
    for t, s in pairwise([*times, None]):
        assert t is not None
        # 3. guidance, away from one guess and towards the other (1)
        away, towards = pipe.unet(torch.cat([x, x]), t, states).sample.chunk(2)
        v = guided(towards, away, guidance, rescale)
        # 4. a step of DDIM
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
        # 5. where nothing may change, the picture at the noise level reached (3)
        if mask is not None:
            x = mask * x + (1 - mask) * (kept if s is None else a[s] * kept + sigma[s] * noise)
    image: Tensor = pipe.vae.decode(x / k).sample
    return (image / 2 + 0.5).clamp(0, 1)


def _check(
    count: int,
    noise: Tensor,
    without: Sequence[str],
    steps: int,
    picture: Tensor | None,
    strength: float,
    mask: Tensor | None,
) -> None:
    if len(noise) != count or len(without) != count:
        raise ValueError(
            f"{count} prompts, {len(noise)} noises and {len(without)} negative prompts: one of each for every picture\n"
            f"{count} 条提示词、{len(noise)} 份噪声、{len(without)} 条反向提示词：每张图片各需一份"
        )
    if mask is not None and picture is None:
        raise ValueError(
            "a mask needs a picture: it says where that is kept\n蒙版需要配一张图片：它说明图片的哪里要保留"
        )
    if picture is not None and len(picture) != count:
        raise ValueError(f"{count} prompts, but {len(picture)} pictures\n{count} 条提示词，却有 {len(picture)} 张图片")
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise ValueError(
            f"a strength up to 1, and with {steps} steps at least {1 / steps:.3g}, for one step to be done; not {strength}\n"
            f"强度最大为 1；共 {steps} 步时至少 {1 / steps:.3g}，才能走一步；而不是 {strength}"
        )
    if mask is not None and mask.shape[-2:] != noise.shape[-2:]:
        raise ValueError(
            f"the mask is one of latent cells, {tuple(noise.shape[-2:])}, not {tuple(mask.shape[-2:])}: see latent_mask\n"
            f"蒙版是潜变量格子的蒙版，应为 {tuple(noise.shape[-2:])}，而不是 {tuple(mask.shape[-2:])}：见 latent_mask"
        )
