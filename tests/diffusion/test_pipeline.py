"""Parts of our own are a pipeline like any other: saved, loaded without a warning, asked in both languages."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from llm_tutorial.captions import caption_tokenizer, text_encoder
from llm_tutorial.diffusion.autoencoder import autoencoder, latents_of, load_autoencoder, reconstruct, set_scale
from llm_tutorial.diffusion.latent import noise_scheduler, u_net
from llm_tutorial.diffusion.pipeline import assemble, load_pipeline, pictures_for, save_pipeline


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(["a red heart", "红心"], max_length=8)
    unet = u_net((16, 16), text_width=16, groups=8)
    return assemble(autoencoder((8, 8, 16)), text_encoder(tokenizer, 16, layers=1), tokenizer, unet, noise_scheduler())


def test_a_saved_pipeline_loads_without_a_warning_and_draws_the_same(
    pipe: StableDiffusionPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        save_pipeline(pipe, tmp_path)
        loaded = load_pipeline(tmp_path)
    assert not caplog.records
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    ours, theirs = (pictures_for(each, ["a red heart", "红心"], steps=2) for each in (pipe, loaded))
    assert ours.shape == (2, 32, 32, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_picture_depends_on_its_place_and_the_seed_alone(pipe: StableDiffusionPipeline) -> None:
    together = pictures_for(pipe, ["red", "心", "heart"], steps=2, batch=2)
    assert np.abs(together[:1].astype(int) - pictures_for(pipe, ["red"], steps=2)).max() <= 1
    assert (together[:1] != pictures_for(pipe, ["red"], steps=2, seed=1)).any()


def test_an_autoencoder_of_half_precision_is_nearly_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae, images = autoencoder((8, 8, 16)), torch.rand(3, 3, 32, 32) * 2 - 1
    latents = latents_of(vae, images)
    set_scale(vae, latents)
    assert (latents * vae.config.scaling_factor).std(correction=0).item() == pytest.approx(1, abs=1e-4)
    whole = reconstruct(vae, images)
    vae.half().save_pretrained(tmp_path)
    half = load_autoencoder(tmp_path)
    assert half.dtype == torch.float32
    assert half.config.scaling_factor == vae.config.scaling_factor
    assert (reconstruct(half, images) - whole).abs().mean() < 0.01


def test_residual_blocks_begin_as_the_identity() -> None:
    """So that colours go through from the first step on."""
    convolutions = [m.conv2 for m in autoencoder().modules() if type(m).__name__ == "ResnetBlock2D"]
    assert convolutions
    assert not any(convolution.weight.any() for convolution in convolutions)
