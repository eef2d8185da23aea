import pytest
import torch

from llm_tutorial.captions import caption_tokenizer, text_encoder
from llm_tutorial.diffusion.autoencoder import autoencoder
from llm_tutorial.diffusion.control import controlled, noise_for
from llm_tutorial.diffusion.latent import noise_scheduler, u_net
from llm_tutorial.diffusion.pipeline import assemble


@pytest.fixture(scope="module")
def pipe():
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(["a red heart", "a blue star"], max_length=8)
    parts = autoencoder((8, 8, 16)), text_encoder(tokenizer, 16, layers=1)
    unet = u_net((16, 16), text_width=16, groups=8)
    return assemble(*parts, tokenizer, unet, noise_scheduler())


@torch.no_grad()
def drawn(answer, pipe, first, last):
    calls = []
    hook = pipe.unet.register_forward_pre_hook(
        lambda module, inputs: calls.append(len(inputs[0]))
    )
    try:
        noise = noise_for(pipe, 1)
        return answer.draw(pipe, "a red heart", noise, 4, 5.0, first, last), calls
    finally:
        hook.remove()


@pytest.mark.parametrize(("first", "last", "scale"), [(999, 0, 5.0), (-1, 0, 1.0)])
def test_guided_everywhere_or_nowhere(answer, pipe, first, last, scale):
    ours, _ = drawn(answer, pipe, first, last)
    library = controlled(
        pipe, ["a red heart"], noise_for(pipe, 1), guidance=scale, steps=4
    )
    assert torch.allclose(ours, library, atol=1e-5), pytest.say(
        f"Guided from timestep {first} to {last}, the picture should be that of "
        f"w = {scale} throughout; it differs by {(ours - library).abs().max():.2g}.",
        f"在时间步 {first} 到 {last} 上引导，图应与全程 w = {scale} 的相同；"
        f"相差 {(ours - library).abs().max():.2g}。",
    )


def test_both_ends_are_included_and_nothing_is_computed_twice(answer, pipe):
    _, calls = drawn(answer, pipe, 749, 499)  # of 999, 749, 499, 249
    assert calls == [1, 2, 2, 1], pytest.say(
        "Of the timesteps 999, 749, 499 and 249 those from 749 to 499 are guided, so "
        f"the U-Net gets batches of 1, 2, 2 and 1, not {calls}.",
        "时间步 999、749、499、249 中，从 749 到 499 的要引导，所以 U-Net 得到的批大小"
        f"是 1、2、2、1，而不是 {calls}。",
    )
