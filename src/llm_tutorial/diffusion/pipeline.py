"""A ``StableDiffusionPipeline`` of our own parts: assembled, kept, loaded, asked for pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextModel, CLIPTokenizer

from llm_tutorial.diffusion.checks import check_files, check_request


def assemble(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
) -> StableDiffusionPipeline:
    """The parts as one pipeline, without a safety checker: it draws what it was trained on."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_pipeline(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Writes a pipeline in half precision, as ``StableDiffusionPipeline.from_pretrained(folder)`` reads it.

    The weights of the pipeline itself are rounded as well.
    """
    parts = (pipe.vae, pipe.unet, pipe.text_encoder)
    for part in parts:  # `pipe.to` would warn of modules that do not exist
        part.half()
    pipe.save_pretrained(folder)
    for part in parts:
        part.float()


def load_pipeline(model: str | Path) -> StableDiffusionPipeline:
    """A pipeline from a folder, or a public one by its name on the hub, in single precision and without a progress bar.

    Args:
        model: A folder or a name.

    Raises:
        FileNotFoundError: The folder holds no pipeline, or a part of it has no weights.
        ValueError: A file of weights is damaged.
    """
    if Path(model).is_dir():
        check_files(Path(model))
    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures_for(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    steps: int = 10,
    guidance: float = 2.0,
    seed: int = 0,
    batch: int = 64,
) -> NDArray[np.uint8]:
    """Draws a picture for each prompt; the noise depends on the seed and the prompt's place alone.

    Args:
        pipe: The pipeline.
        prompts: In either language.
        steps: Of the sampler.
        guidance: Scale of classifier-free guidance; 1 is none.
        seed: Of the noise.
        batch: Prompts at a time.

    Returns:
        (prompts, height, width, 3), bytes.

    Raises:
        ValueError: No prompts, one that is too long, or an impossible number of steps.
    """
    check_request(pipe, prompts, steps)
    drawn = []
    for start in range(0, len(prompts), batch):
        some = list(prompts[start : start + batch])
        generators = [torch.Generator().manual_seed(1_000_003 * seed + start + place) for place in range(len(some))]
        images = pipe(
            some, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="np"
        ).images
        drawn.append(np.rint(images * 255).astype(np.uint8))
    return np.concatenate(drawn)
