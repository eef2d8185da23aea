from itertools import pairwise

import torch

from llm_tutorial.captions import token_ids
from llm_tutorial.diffusion.spacing import spaced_timesteps


def draw(pipe, prompt, x, steps, w, first, last):
    # x: noise, (1, channels, side, side); last <= first, since time runs down
    ids = token_ids(pipe.tokenizer, ["", prompt])
    states = pipe.text_encoder(ids).last_hidden_state
    left = pipe.scheduler.alphas_cumprod
    a, sigma = left.sqrt(), (1 - left).sqrt()
    for t, s in pairwise([*spaced_timesteps("trailing", steps), None]):
        if last <= t <= first:
            both = pipe.unet(torch.cat([x, x]), t, states).sample
            without, with_prompt = both.chunk(2)
            v = without + w * (with_prompt - without)
        else:
            v = pipe.unet(x, t, states[1:]).sample
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
    picture = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
    return (picture / 2 + 0.5).clamp(0, 1)
