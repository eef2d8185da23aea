"""The loop with all handles draws what Diffusers' three pipelines draw, and names requests that cannot be met."""

from typing import Any
from unittest.mock import patch

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from torch import Tensor

from llm_tutorial.captions import caption_tokenizer, text_encoder
from llm_tutorial.diffusion.autoencoder import autoencoder, reconstruct
from llm_tutorial.diffusion.control import controlled, latent_mask, noise_for
from llm_tutorial.diffusion.latent import noise_scheduler, u_net
from llm_tutorial.diffusion.pipeline import assemble

PROMPTS, NEGATIVE = ["a red heart", "红心"], "a blue star"
MODULES = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_"


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    """With four channels: Diffusers repaints with no other number (or nine)."""
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(["a red heart", "a blue star", "红心"], max_length=8)
    unet = u_net((16, 16), text_width=16, groups=8, latent_channels=4)
    vae = autoencoder((8, 8, 16), latent_channels=4)
    return assemble(vae, text_encoder(tokenizer, 16, layers=1), tokenizer, unet, noise_scheduler())


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def theirs(kind: type, module: str, pipe: Any, noise: Tensor, **options: Any) -> Tensor:
    """Drawn by a pipeline of Diffusers, with our noise and the middle of each latent's distribution."""
    other = kind(**pipe.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    with (
        patch(f"{MODULES}{module}.retrieve_latents", lambda out, **_: out.latent_dist.mode()),
        patch(f"{MODULES}{module}.randn_tensor", lambda *_, **__: noise),
    ):
        images: Tensor = other(
            PROMPTS,
            negative_prompt=[NEGATIVE] * 2,
            num_inference_steps=5,
            guidance_scale=4.0,
            output_type="pt",
            **options,
        ).images
    return images


OURS: dict[str, Any] = {"negative": NEGATIVE, "guidance": 4.0, "steps": 5}


@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_from_noise_it_draws_what_the_pipeline_draws(pipe: StableDiffusionPipeline, rescale: float) -> None:
    noise = noise_for(pipe, 2)
    images = pipe(
        PROMPTS, negative_prompt=[NEGATIVE] * 2, latents=noise, num_inference_steps=5, guidance_scale=4.0,
        guidance_rescale=rescale, output_type="pt",
    ).images  # fmt: skip
    assert torch.allclose(controlled(pipe, PROMPTS, noise, rescale=rescale, **OURS), images, atol=1e-5)


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_from_a_picture_it_draws_what_the_image_pipeline_draws(
    pipe: StableDiffusionPipeline, picture: Tensor, strength: float
) -> None:
    noise = noise_for(pipe, 2)
    images = theirs(StableDiffusionImg2ImgPipeline, "img2img", pipe, noise, image=picture / 2 + 0.5, strength=strength)
    ours = controlled(pipe, PROMPTS, noise, picture=picture, strength=strength, **OURS)
    assert torch.allclose(ours, images, atol=1e-4)


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_with_a_mask_it_draws_what_the_inpainting_pipeline_draws(
    pipe: StableDiffusionPipeline, picture: Tensor, strength: float
) -> None:
    noise, pixels = noise_for(pipe, 2), torch.zeros(2, 1, 32, 32)
    pixels[0, :, 5:20, 3:17] = 1
    pixels[1, :, :, 16:] = 1
    images = theirs(
        StableDiffusionInpaintPipeline, "inpaint", pipe, noise, image=picture / 2 + 0.5, mask_image=pixels,
        strength=strength, height=32, width=32,
    )  # fmt: skip
    mask = latent_mask(pixels, 8, whole=False)
    ours = controlled(pipe, PROMPTS, noise, picture=picture, mask=mask, strength=strength, **OURS)
    # at full strength theirs begins with noise alone, ours with the picture at the last noise level: no signal is left
    assert torch.allclose(ours, images, atol=1e-4)


def test_a_mask_of_nothing_gives_the_picture_back_and_one_of_everything_changes_nothing(
    pipe: StableDiffusionPipeline, picture: Tensor
) -> None:
    noise = noise_for(pipe, 2)
    kept = controlled(pipe, PROMPTS, noise, picture=picture, mask=torch.zeros(1, 1, 8, 8))
    assert torch.allclose(2 * kept - 1, reconstruct(pipe.vae, picture), atol=1e-5)
    anew, plain = (controlled(pipe, PROMPTS, noise, picture=picture, mask=m) for m in (torch.ones(1, 1, 8, 8), None))
    assert torch.equal(anew, plain)


def test_without_guidance_a_negative_prompt_does_nothing(pipe: StableDiffusionPipeline) -> None:
    first, second = (controlled(pipe, PROMPTS, noise_for(pipe, 2), negative=n, guidance=1.0) for n in ("", NEGATIVE))
    assert torch.allclose(first, second, atol=1e-5)


def test_noise_of_a_picture_does_not_depend_on_how_many_there_are(pipe: StableDiffusionPipeline) -> None:
    assert torch.equal(noise_for(pipe, 3)[:2], noise_for(pipe, 2))
    assert not torch.equal(noise_for(pipe, 2, seed=1), noise_for(pipe, 2))


def test_a_mask_covers_at_least_what_it_is_asked_to() -> None:
    pixels = (torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.02).float()
    wide = torch.nn.functional.interpolate(latent_mask(pixels, 8), 32)
    assert bool((wide >= pixels).all())
    narrow = latent_mask(pixels, 8, whole=False)
    assert bool((narrow <= latent_mask(pixels, 8)).all())
    assert narrow.sum() < latent_mask(pixels, 8).sum()


def test_in_sixteen_bits_it_draws_nearly_the_same(pipe: StableDiffusionPipeline, picture: Tensor) -> None:
    noise = noise_for(pipe, 2)
    options: dict[str, Any] = {"picture": picture, "strength": 0.4, "steps": 5}
    want = controlled(pipe, PROMPTS, noise, **options)
    with torch.autocast("cpu", torch.bfloat16):
        got = controlled(pipe, PROMPTS, noise, **options)
    assert (got.float() - want).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("handles", "english", "chinese"),
    [
        ({"strength": 0.0, "picture": 1}, "a strength up to 1", "强度最大为 1"),
        ({"strength": 1.5, "picture": 1}, "not 1.5", "而不是 1.5"),
        ({"strength": 0.05, "picture": 1}, "at least 0.1", "至少 0.1"),
        ({"mask": 8}, "a mask needs a picture", "蒙版需要配一张图片"),
        ({"mask": 32, "picture": 1}, "one of latent cells", "潜变量格子的蒙版"),
        ({"picture": 2}, "1 prompts, but 2 pictures", "却有 2 张图片"),
        ({"negative": ["a", "b"]}, "2 negative prompts", "2 条反向提示词"),
        ({"steps": 0}, "from 1 to 1000 steps", "步数应在"),
        ({"rescale": 2.0}, "rescale is from 0 to 1", "rescale 应在"),
    ],
)
def test_a_request_that_cannot_be_met_is_named_in_both_languages(
    pipe: StableDiffusionPipeline, picture: Tensor, handles: dict[str, Any], english: str, chinese: str
) -> None:
    if "picture" in handles:
        handles = handles | {"picture": picture[: handles["picture"]]}
    if "mask" in handles:
        handles = handles | {"mask": torch.ones(1, 1, handles["mask"], handles["mask"])}
    with pytest.raises(ValueError, match=english) as raised:
        controlled(pipe, PROMPTS[:1], noise_for(pipe, 1), **handles)
    assert chinese in str(raised.value)


@pytest.mark.parametrize("shape", [(1, 30, 30), (1, 32, 16)])
def test_a_mask_of_another_size_is_named(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="a square mask whose side is a multiple of 8"):
        latent_mask(torch.zeros(shape), 8)
