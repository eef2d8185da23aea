"""Guidance can be left out where it does harm: at very much noise it takes away
variety, at little noise it changes nothing that can still be changed [Kynkäänniemi et
al. 2024]. Change the loop of the page so that it guides only at timesteps from `last`
to `first`, both included, and otherwise takes the prediction with the prompt as it is.
And do not compute what is not needed: there the U-Net gets a batch of one.

引导可以在有害的地方省去：噪声很大时它减少多样性，噪声很小时已经没有什么可改
[Kynkäänniemi et al. 2024]。请修改本页的循环，使它只在从 `last` 到 `first`（含两端）的
时间步上引导，其余时候直接取有提示词的预测。不需要的不要算：那时 U-Net 的批只有一份。
"""

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
        without, with_prompt = pipe.unet(torch.cat([x, x]), t, states).sample.chunk(2)
        v = without + w * (with_prompt - without)  # TODO
        guess, epsilon = a[t] * x - sigma[t] * v, sigma[t] * x + a[t] * v
        x = guess if s is None else a[s] * guess + sigma[s] * epsilon
    picture = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
    return (picture / 2 + 0.5).clamp(0, 1)
