import pytest
import torch

from llm_tutorial.captions import caption_tokenizer, text_encoder, token_ids
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


@torch.no_grad()
def guess(pipe, x, t, prompt):
    states = pipe.text_encoder(token_ids(pipe.tokenizer, [prompt])).last_hidden_state
    return pipe.unet(x, t, states).sample


@pytest.mark.parametrize(
    ("prompts", "weights"),
    [
        (["a red heart"], [3.0]),
        (["a red heart", "a blue star"], [2.0, -1.0]),
        (["red", "blue", "a star"], [1.0, 0.5, 0.0]),
    ],
)
def test_each_prompt_adds_what_it_changes(answer, pipe, prompts, weights):
    x = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = answer.velocity(pipe, x, 500, prompts, weights)
    without = guess(pipe, x, 500, "")
    wanted = without + sum(
        w * (guess(pipe, x, 500, p) - without)
        for p, w in zip(prompts, weights, strict=True)
    )
    assert ours.shape == wanted.shape and torch.allclose(ours, wanted, atol=1e-5), (
        pytest.say(
            f"For {prompts} with the weights {weights} the velocity is not the "
            "formula's. The first of the guesses belongs to the empty prompt.",
            f"对 {prompts} 与权重 {weights}，速度与公式的不同。"
            "第一个猜测属于空提示词。",
        )
    )
