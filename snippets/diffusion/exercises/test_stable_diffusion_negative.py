import pytest
import torch

from llm_tutorial.captions import caption_tokenizer, text_encoder
from llm_tutorial.diffusion.autoencoder import autoencoder
from llm_tutorial.diffusion.latent import noise_scheduler, u_net
from llm_tutorial.diffusion.pipeline import assemble


@pytest.fixture(scope="module")
def pipe():
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(["a red heart", "a blue star"], max_length=8)
    parts = autoencoder((8, 8, 16)), text_encoder(tokenizer, 16, layers=1)
    unet = u_net((16, 16), text_width=16, groups=8)
    return assemble(*parts, tokenizer, unet, noise_scheduler())


@pytest.mark.parametrize("negative", ["", "blue star"])
def test_the_picture_is_the_pipeline_s(answer, pipe, negative):
    noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = answer.draw(pipe, "a red heart", negative, noise, steps=4, w=4.0)
    theirs = pipe(
        "a red heart", negative_prompt=negative, latents=noise, guidance_scale=4.0,
        num_inference_steps=4, output_type="pt",
    ).images  # fmt: skip
    difference = (ours - theirs).abs().max().item()
    assert difference < 1e-5, pytest.say(
        f"With the negative prompt {negative!r} your picture differs from the "
        f"pipeline's by up to {difference:.2g} (of 1). Which states does the "
        "prediction called `without` get?",
        f"负面提示词为 {negative!r} 时，你的图与管道的图最多相差 {difference:.2g}"
        "（满值为 1）。名为 `without` 的预测得到的是哪些状态？",
    )
