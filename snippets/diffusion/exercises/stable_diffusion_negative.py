"""A negative prompt says what a picture shall not show. It takes no new network: in
guidance it stands where the empty prompt stood. Change the sampling loop of the page
so that it takes one, and draws what `pipe(…, negative_prompt=negative)` draws.

负面提示词说的是图里不要有什么。这不需要新的网络：在引导里，它站在空提示词原来的位置上。
请修改本页的采样循环，使它接受负面提示词，画出与 `pipe(…, negative_prompt=negative)`
相同的图。
"""

from itertools import pairwise

import torch

from llm_tutorial.captions import token_ids
from llm_tutorial.diffusion.spacing import spaced_timesteps


def draw(pipe, prompt, negative, x, steps, w):
    # x: noise, (1, channels, side, side)
    ids = token_ids(pipe.tokenizer, ["", prompt])  # TODO
    states = pipe.text_encoder(ids).last_hidden_state
    left = pipe.scheduler.alphas_cumprod
    a, sigma = left.sqrt(), (1 - left).sqrt()
    for t, s in pairwise([*spaced_timesteps("trailing", steps), None]):
        without, with_prompt = pipe.unet(torch.cat([x, x]), t, states).sample.chunk(2)
        v = without + w * (with_prompt - without)
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
    picture = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
    return (picture / 2 + 0.5).clamp(0, 1)
