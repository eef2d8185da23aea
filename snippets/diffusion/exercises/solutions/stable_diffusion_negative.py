from itertools import pairwise

import torch

from llm_tutorial.captions import token_ids
from llm_tutorial.diffusion.spacing import spaced_timesteps


def draw(pipe, prompt, negative, x, steps, w):
    # x: noise, (1, channels, side, side)
    ids = token_ids(pipe.tokenizer, [negative, prompt])
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
