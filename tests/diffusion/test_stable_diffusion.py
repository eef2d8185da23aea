"""Requests that cannot be met are named, files that are damaged are found, and maps of words leave the pictures alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from llm_tutorial.captions import caption_tokenizer, text_encoder
from llm_tutorial.data.shapes import caption, scenes
from llm_tutorial.diffusion.autoencoder import autoencoder
from llm_tutorial.diffusion.checks import check_files, check_request, size_step, unknown_words
from llm_tutorial.diffusion.latent import noise_scheduler, u_net
from llm_tutorial.diffusion.pipeline import assemble, load_pipeline, pictures_for, save_pipeline
from llm_tutorial.diffusion.small_shapes import adherence
from llm_tutorial.diffusion.word_maps import word_maps
from llm_tutorial.results import weights

NOISE = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(["a red heart", "红心"], max_length=8)
    unet = u_net((16, 16), text_width=16, groups=8)
    return assemble(autoencoder((8, 8, 16)), text_encoder(tokenizer, 16, layers=1), tokenizer, unet, noise_scheduler())


@pytest.fixture(scope="module")
def saved(pipe: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    save_pipeline(pipe, folder)
    return folder


def test_an_empty_prompt_draws_and_ignores_guidance(pipe: StableDiffusionPipeline) -> None:
    plain, guided = (pictures_for(pipe, [""], steps=2, guidance=scale) for scale in (1.0, 5.0))
    assert np.abs(plain.astype(int) - guided).max() <= 1


def test_unknown_words_are_named_and_draw(pipe: StableDiffusionPipeline) -> None:
    assert unknown_words(pipe.tokenizer, "a green heart 绿心") == ["green", "绿"]
    assert unknown_words(pipe.tokenizer, "A red heart, 红心!") == []
    assert pictures_for(pipe, ["hat"], steps=1).shape == (1, 32, 32, 3)


@pytest.mark.parametrize(
    ("options", "english", "chinese"),
    [
        ({"prompts": []}, "at least one prompt", "至少一条提示词"),
        ({"prompts": "a heart"}, "a list of at least one", "提示词的列表"),
        ({"prompts": ["red", "a red red red red heart red"]}, "would lose ' red'", "会被分词器截掉"),
        ({"prompts": ["red"], "steps": 0}, "from 1 to 1000 steps, not 0", "步数应在"),
        ({"prompts": ["red"], "steps": 1001}, "not 1001", "而不是 1001"),
        ({"prompts": ["red"], "height": 36}, "height is a multiple of 8", "高应是 8 的倍数"),
        ({"prompts": ["red"], "width": 0}, "8 is the nearest", "最近的是 8"),
    ],
)
def test_a_request_that_cannot_be_met_is_named_in_both_languages(
    pipe: StableDiffusionPipeline, options: dict, english: str, chinese: str
) -> None:
    with pytest.raises(ValueError, match="\n") as caught:
        check_request(pipe, **options)
    assert english in str(caught.value)
    assert chinese in str(caught.value)


def test_a_size_that_is_allowed_can_be_drawn(pipe: StableDiffusionPipeline) -> None:
    assert size_step(pipe) == 8
    check_request(pipe, ["red"], height=24, width=40)
    drawn = pipe("red", height=24, width=40, num_inference_steps=1, output_type="np").images
    assert drawn.shape == (1, 24, 40, 3)


def test_pictures_are_not_drawn_for_a_request_that_fails(pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="not 0"):
        pictures_for(pipe, ["red"], steps=0)


def test_a_whole_folder_is_loaded(saved: Path) -> None:
    check_files(saved)
    assert load_pipeline(saved).unet.dtype == torch.float32


def test_missing_and_damaged_files_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no pipeline.*\n.*没有管道"):
        load_pipeline(tmp_path)
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model.safetensors is damaged(.|\n)*已损坏"):
        load_pipeline(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"weights of unet are missing.*\n.*缺少 unet 的权重"):
        load_pipeline(folder)


def test_maps_leave_the_picture_as_it_is_and_shares_add_up_to_one(pipe: StableDiffusionPipeline) -> None:
    before = pipe.unet.attn_processors
    images, maps = word_maps(pipe, ["a red heart", "红心"], NOISE, steps=2)
    plain = pipe(
        ["a red heart", "红心"], latents=NOISE, num_inference_steps=2, guidance_scale=2.0, output_type="pt"
    ).images
    assert torch.allclose(images, plain, atol=1e-5)
    assert maps.shape == (2, 8, 8, 8)
    assert torch.allclose(maps.sum(1), torch.ones(2, 8, 8), atol=1e-4)
    assert list(map(type, before.values())) == list(map(type, pipe.unet.attn_processors.values()))


def test_maps_want_guidance(pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match=r"above 1.*\n.*大于 1"):
        word_maps(pipe, ["red"], NOISE[:1], guidance=1.0)


def test_maps_of_different_prompts_differ(pipe: StableDiffusionPipeline) -> None:
    """The prompt's half of the batch is taken, not the half without a prompt."""
    _, maps = word_maps(pipe, ["a red heart", "红心"], NOISE[:1].expand(2, -1, -1, -1), steps=1)
    assert not torch.allclose(maps[0], maps[1], atol=1e-6)


def test_bfloat16_draws_nearly_the_same(saved: Path) -> None:
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        loaded = StableDiffusionPipeline.from_pretrained(saved, dtype=dtype)
        loaded.set_progress_bar_config(disable=True)
        noise = NOISE[:1].to(dtype)
        options = {"latents": noise, "num_inference_steps": 2, "output_type": "np"}
        drawn.append(loaded("a red heart", **options).images)
    assert np.abs(drawn[0] - drawn[1]).mean() < 0.02


def test_the_trained_pipeline_loads_without_a_warning_and_draws_what_is_asked(recwarn: pytest.WarningsRecorder) -> None:
    trained = load_pipeline(weights("diffusion", "shapes"))
    assert not [str(warning.message) for warning in recwarn]
    asked = scenes(8, "validation", seed=11, things=1)
    texts = [caption(scene, ("en", "zh")[place % 2]) for place, scene in enumerate(asked)]
    assert adherence(pictures_for(trained, texts), asked)["all"] >= 7 / 8
    assert adherence(pictures_for(trained, texts[::-1]), asked)["all"] < 1 / 2
